"""Decide which steps are audited, and gather memory and FLOPs per phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.flops import StepFlops
from harness.memory.cuda import CudaMeter
from harness.memory.ledger import Ledger, LedgerReport
from harness.memory.paths import ModulePaths
from harness.record import Memory, PhaseMemory
from harness.step import Watch

if TYPE_CHECKING:
    from methods.base import Handle

NUM_HOLDERS = 12
Shape = tuple[int, int]  # examples, padded length


class Meter:
    """Memory of a run, phase by phase.

    On the CPU a phase's peak is that of its audited steps: the second one (by then the optimizer
    has its state) and the one with the most padded tokens that is known when the phase begins. On
    CUDA the allocator sees every step, and audited steps add the split.
    """

    def __init__(self, model: nn.Module, handle: Handle, device: torch.device) -> None:
        self.model, self.handle, self.device = model, handle, device
        self.cuda = CudaMeter(device) if device.type == "cuda" else None
        self.phases: list[PhaseMemory] = []
        self.flops: list[int] = []
        self._audits: set[int] = set()
        self._known: dict[str, list[Tensor]] | None = None
        self._paths = ModulePaths(model)
        self._fit: StepFlops | None = None
        self._peak_evaluation: int | None = None

    def start_phase(self, step: int, upcoming: Sequence[Shape], fit: StepFlops | None) -> None:
        """Begin a phase at `step`; `upcoming` are the shapes of the steps known to follow."""
        self._close_phase()
        self._known = None  # a method may have replaced tensors
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.phases.append(_empty_phase(step, trainable, self._shallowest_live_layer()))
        self.flops.append(0)
        self._fit = fit
        later = range(min(1, len(upcoming) - 1), len(upcoming))
        longest = max(later, key=lambda i: (upcoming[i][0] * upcoming[i][1], -i))
        self._audits = {step + later[0], step + longest}
        if self.cuda:
            self.cuda.start_phase()

    def wants(self, step: int) -> bool:
        """Tell whether `step` is to be audited."""
        return step in self._audits

    @contextmanager
    def audit(self, step: int, optimizer: Optimizer) -> Iterator[Watch]:
        """Run one step under the ledger, which is yielded."""
        ledger = self._ledger(optimizer)
        with ledger:
            yield ledger
        self._note(step, ledger.report())

    def count(self, shapes: Iterable[Shape]) -> None:
        """Count one optimizer step made of forward passes of these shapes."""
        self.phases[-1].steps += 1
        if self._fit:
            self.flops[-1] += sum(self._fit.at(*shape) for shape in shapes)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Watch an evaluation: on CUDA by the allocator, on the CPU the first one by the ledger."""
        if self.cuda:
            with self.cuda.apart() as reading:
                yield
            peak = reading.peak_allocated
            self._peak_evaluation = max(self._peak_evaluation or 0, peak)
        else:
            yield

    def audit_evaluation(self, forward: Callable[[], object]) -> None:
        """Run the largest evaluation batch under the ledger, once, on the CPU."""
        if self.cuda or self._peak_evaluation is not None:
            return
        ledger = self._ledger(None)
        with ledger:
            ledger.mark("forward")
            forward()
            ledger.mark("end")
        self._peak_evaluation = ledger.report().peak

    def report(self) -> Memory:
        """Return the peaks of training, by phase and over all."""
        self._close_phase()
        peaks = [phase.peak_allocated for phase in self.phases]
        weights = [phase.steps for phase in self.phases]
        total = sum(weights) or 1
        return Memory(
            meter="cuda" if self.cuda else "cpu-ledger",
            phases=self.phases,
            peak_training=max(peaks, default=0),
            peak_step_mean=sum(p * w for p, w in zip(peaks, weights, strict=True)) / total,
            peak_last_phase=peaks[-1] if peaks else 0,
            peak_evaluation=self._peak_evaluation,
            other_processes=self.cuda.other_processes() if self.cuda else [],
        )

    def _ledger(self, optimizer: Optimizer | None) -> Ledger:
        if self._known is None:
            self._known = declared_tensors(self.model, self.handle)
        on_cuda = self.cuda is not None
        return Ledger(
            self._known,
            optimizer=optimizer,
            rounding=512 if on_cuda else 1,
            device=self.device if on_cuda else None,  # without a GPU all memory is the host's
            model=self._paths,
        )

    def _note(self, step: int, report: LedgerReport) -> None:
        """Keep the largest of the phase's audits."""
        phase = self.phases[-1]
        phase.audited_steps.append(step)
        if phase.split and report.peak < sum(phase.split.values()):
            return
        phase.split = dict(report.split)
        phase.peaks = dict(report.phase_peaks)
        phase.saved_activations, phase.at_rest = report.saved, report.at_rest
        phase.holders = [holder._asdict() for holder in report.holders[:NUM_HOLDERS]]
        if not self.cuda:
            phase.peak_allocated = report.peak

    def _close_phase(self) -> None:
        if self.cuda and self.phases:
            phase, reading = self.phases[-1], self.cuda.read()
            phase.peak_allocated = reading.peak_allocated
            phase.peak_reserved = reading.peak_reserved
            phase.peak_device = reading.peak_device
            phase.unexplained = reading.peak_allocated - sum(phase.split.values())

    def _shallowest_live_layer(self) -> int | None:
        """Return the lowest layer with a trainable tensor; back-propagation stops there."""
        for index, unit in enumerate(self.handle.units()):
            if any(parameter.requires_grad for parameter in unit):
                return index
        return None


def declared_tensors(model: nn.Module, handle: Handle) -> dict[str, list[Tensor]]:
    """Return the tensors that are there before a step, by category."""
    adapter: list[Tensor] = list(handle.parameters())
    method = list(handle.overhead().values())
    mine = {id(tensor) for tensor in (*adapter, *method)}
    tensors = (*model.parameters(), *model.buffers())
    base = [tensor for tensor in tensors if id(tensor) not in mine]
    return {"weights.base": base, "weights.adapter": adapter, "method": method}


def _empty_phase(step: int, trainable: int, layer: int | None) -> PhaseMemory:
    return PhaseMemory(
        first_step=step,
        steps=0,
        trainable=trainable,
        peak_allocated=0,
        split={},
        peaks={},
        saved_activations=0,
        at_rest=0,
        shallowest_live_layer=layer,
    )
