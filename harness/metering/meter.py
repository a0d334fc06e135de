"""Decide which steps are audited, and gather memory and FLOPs per phase."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from harness.metering.cuda import CudaMeter, CudaReading
from harness.metering.declared import Repeated, declared_tensors
from harness.metering.flops import StepFlops
from harness.metering.lack import BatchOf, at_peak, told_of
from harness.metering.ledger import Ledger, LedgerReport
from harness.metering.step_peaks import StepPeaks
from harness.metering.watch import Watch
from harness.out_of_memory import OutOfMemory, is_out_of_memory
from harness.record import Memory, PhaseMemory
from harness.shapes import BatchShape

if TYPE_CHECKING:
    from methods.base import Handle

NUM_HOLDERS = 12
EVERY = 2**31
T = TypeVar("T")


class Meter:
    """Memory of a run, phase by phase.

    On the CPU a phase's peak is that of its audited steps: the first one (of the run's first phase
    the second: by then the optimizer has its state) and, of every variant of step, the one with the
    most padded tokens: of those known when the phase begins, and later ones that are larger still.
    On CUDA the allocator sees every step, and audited steps add the split.

    Attributes:
        lacking: what was alive when memory ran out, once it has.
    """

    def __init__(self, model: nn.Module, handle: Handle, device: torch.device) -> None:
        self.model, self.handle, self.device = model, handle, device
        self.cuda = CudaMeter(device) if device.type == "cuda" else None
        self.phases: list[PhaseMemory] = []
        self._open = False  # the last phase still runs
        self.flops: list[int] = []
        self._audits: set[int] = set()
        self._largest: dict[str, int] = {}  # padded tokens, by kind of step, that are audited
        self._from = 0  # the first step that is worth an audit
        self._fits: dict[Hashable, StepFlops] = {}
        self._step_peaks = StepPeaks()
        self._audited: int | None = None  # the peak of the step that has just run
        self._peak_evaluation: int | None = None
        self._evaluated = 0  # padded tokens of the largest evaluation batch that was audited
        self._peak_probe: int | None = None
        self.lacking: OutOfMemory | None = None

    def start_phase(self, step: int, upcoming: Sequence[tuple[BatchShape, Hashable]]) -> None:
        """Begin a phase at `step`; `upcoming`: shape and variant of the steps known to follow."""
        self._read_phase()
        self._open = True
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self.phases.append(_empty_phase(step, trainable, self._shallowest_live_layer()))
        self.flops.append(0)
        self._fits, self._step_peaks = {}, StepPeaks()
        # The run's first step has no optimizer state yet; a later phase may last one step only.
        first = min(1, len(upcoming) - 1) if step == 0 else 0
        later = range(first, len(upcoming))
        longest: dict[str, tuple[int, int]] = {}
        for i in later:
            shape, variant = upcoming[i]
            kind, tokens = _kind_of([shape], variant)
            if tokens > longest.get(kind, (i, 0))[1]:
                longest[kind] = i, tokens
        # The phase may end before it comes to these: what it has seen by then is in `_largest`.
        self._largest, self._from = {}, step + later[0]
        self._audits = {self._from, *(step + i for i, _ in longest.values())}
        if step == 0 and len(upcoming) == 1:  # an epoch of one step: the next one's has the state
            self._audits.add(1)
        if self.cuda:
            self.cuda.start_phase()

    def wants(self, step: int, variant: Hashable, shapes: Iterable[BatchShape]) -> bool:
        """Tell whether `step` is to be audited: foreseen, or the largest of its kind so far."""
        kind, tokens = _kind_of(shapes, variant)
        largest = step >= self._from and tokens > self._largest.get(kind, 0)
        if largest:
            self._largest[kind] = tokens
        return largest or step in self._audits

    def knows(self, variant: Hashable) -> bool:
        """Tell whether the FLOPs of a variant are known in this phase."""
        return variant in self._fits

    def learn(self, variant: Hashable, fit: StepFlops) -> None:
        """Note the FLOPs of a variant of step."""
        self._fits[variant] = fit

    @contextmanager
    def audit(self, number: int, step: Repeated) -> Iterator[Watch]:
        """Run step `number` under the ledger, which is yielded."""
        with self._watched(step, "training", number) as ledger:
            yield ledger
        self._note(number, ledger.report())

    def count(self, shapes: Sequence[BatchShape], variant: Hashable) -> None:
        """Count one optimizer step of this variant, made of forward passes of these shapes."""
        kind, tokens = _kind_of(shapes, variant)
        if self._audited is not None:
            self._step_peaks.audited(kind, tokens, self._audited)
            self._audited = None
        self._step_peaks.ran(kind, tokens)
        self.phases[-1].steps += 1
        self.flops[-1] += sum(self._fits[variant].at(shape) for shape in shapes)

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

    def audit_evaluation(self, forward: Callable[[], object], tokens: int, step: Repeated) -> None:
        """Run an evaluation batch under the ledger on the CPU, if it is the largest so far."""
        if self.cuda or tokens <= self._evaluated:
            return
        self._evaluated = tokens
        with self._watched(step, "evaluation") as ledger:
            ledger.mark("forward")
            forward()
            ledger.mark("end")
        self._peak_evaluation = max(self._peak_evaluation or 0, ledger.report().peak)

    def probing(self, look: Callable[[], T], step: Repeated) -> T:
        """Watch a look at the probe set: on CUDA by the allocator, on the CPU by the ledger."""
        if self.cuda:
            with self.cuda.apart() as reading:
                result = look()
            peak = reading.peak_allocated
        else:
            with self._watched(step, "evaluation") as ledger:
                ledger.mark("forward")
                result = look()
                ledger.mark("end")
            peak = ledger.report().peak
        self._peak_probe = max(self._peak_probe or 0, peak)
        return result

    @contextmanager
    def apart(self) -> Iterator[CudaReading | None]:
        """Keep a stretch out of the phase's peaks; yields its own on CUDA, filled in at its end."""
        if self.cuda:
            with self.cuda.apart() as reading:
                yield reading
        else:
            yield None

    def account(
        self,
        act: Callable[[Watch], object],
        step: Repeated,
        batch_of: BatchOf | None,
        number: int | None = None,
    ) -> None:
        """Find out what is alive where memory ran out: do the same again, under a ledger.

        Whatever `act` ends with, the run has ended before; it may fit now, and is told as such.
        """
        if self.lacking is not None:  # a ledger saw it the first time
            return
        ledger = None
        try:
            with self._watched(step, batch_of, number) as ledger:
                act(ledger)
        except Exception as error:
            if not is_out_of_memory(error):
                return
        if self.lacking is not None:
            self.lacking.again = True
        elif ledger is not None:
            self.lacking = told_of(at_peak(ledger.report(top=EVERY)), batch_of, number, self.cuda)
            self.lacking.again = False

    def note_lack(self, batch_of: BatchOf | None, number: int | None = None) -> None:
        """Note whose batch did not fit, where what is alive cannot be found out."""
        self.lacking = self.lacking or OutOfMemory(
            doing=batch_of or "", batch_of=batch_of, step=number
        )

    @contextmanager
    def _watched(
        self, step: Repeated, batch_of: BatchOf | None, number: int | None = None
    ) -> Iterator[Ledger]:
        """Open a ledger; keeps what is alive in it when memory runs out."""
        ledger = self._ledger(step)
        try:
            with ledger:
                yield ledger
        finally:
            if ledger.lacking is not None:
                self.lacking = told_of(ledger.lacking, batch_of, number, self.cuda)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run goes on from."""
        self._read_phase()
        return {
            "phases": [phase.model_dump(mode="json") for phase in self.phases],
            "flops": list(self.flops),
            "audits": sorted(self._audits),
            "audited_from": self._from,
            "largest": dict(self._largest),
            "step_peaks": self._step_peaks.state_dict(),
            "evaluated": self._evaluated,
            "peak_evaluation": self._peak_evaluation,
            "peak_probe": self._peak_probe,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on in the phase that was open: the same steps are audited as without a break."""
        self.phases = [PhaseMemory.model_validate(phase) for phase in state["phases"]]
        self.flops, self._audits = list(state["flops"]), set(state["audits"])
        self._from, self._largest = state["audited_from"], dict(state["largest"])
        self._evaluated = state["evaluated"]
        self._step_peaks = StepPeaks()
        self._step_peaks.load_state_dict(state["step_peaks"])
        self._fits = {}
        self._peak_evaluation, self._peak_probe = state["peak_evaluation"], state["peak_probe"]
        self._open = bool(self.phases)
        if self.cuda and self.phases:
            self.cuda.start_phase()

    def report(self, step_medians: Sequence[float | None]) -> Memory:
        """Return the peaks of training, by phase and over all; each phase's median step in s."""
        self._read_phase()
        for phase, flops, seconds in zip(self.phases, self.flops, step_medians, strict=True):
            phase.flops, phase.step_median = flops, seconds
        peaks = [phase.peak_allocated for phase in self.phases]
        total = sum(phase.steps for phase in self.phases) or 1
        return Memory(
            meter="cuda" if self.cuda else "cpu-ledger",
            phases=self.phases,
            peak_training=max(peaks, default=0),
            peak_step_mean=sum((p.peak_mean or 0) * p.steps for p in self.phases) / total,
            peak_last_phase=peaks[-1] if peaks else 0,
            peak_evaluation=self._peak_evaluation,
            peak_probe=self._peak_probe,
            other_processes=self.cuda.other_processes() if self.cuda else [],
        )

    def take_phase(self, step_median: float | None) -> PhaseMemory:
        """End the phase that runs and take it off the run's own."""
        self._read_phase()
        self._open = False  # what CUDA reads from now on is none of the phase before's
        phase, flops = self.phases.pop(), self.flops.pop()
        phase.flops, phase.step_median = flops, step_median
        return phase

    def _ledger(self, step: Repeated) -> Ledger:
        on_cuda = self.cuda is not None
        return Ledger(
            {
                **declared_tensors(self.model, self.handle),
                "activations": step.held(),
                "gradients": step.buckets(),
            },
            optimizer=step.optimizer,
            rounding=512 if on_cuda else 1,
            device=self.device if on_cuda else None,  # without a GPU all memory is the host's
            model=self.model,  # looked through anew: an id that was a dropped tensor's is another's
        )

    def _note(self, step: int, report: LedgerReport) -> None:
        """Keep the largest of the phase's audits."""
        phase = self.phases[-1]
        phase.audited_steps.append(step)
        self._audited = report.peak
        if phase.split and report.peak < sum(phase.split.values()):
            return
        phase.split = dict(report.split)
        phase.peaks = dict(report.peaks)
        phase.saved_activations, phase.at_rest = report.saved, report.at_rest
        phase.holders = [holder._asdict() for holder in report.holders[:NUM_HOLDERS]]
        if not self.cuda:
            phase.peak_allocated = report.peak

    def _read_phase(self) -> None:
        if self.cuda and self._open:
            phase, reading = self.phases[-1], self.cuda.read()
            # A resumed phase had another process before.
            phase.peak_allocated = max(phase.peak_allocated, reading.peak_allocated)
            phase.peak_reserved = max(phase.peak_reserved or 0, reading.peak_reserved)
            phase.peak_device = max(phase.peak_device or 0, reading.peak_device or 0) or None
            phase.unsplit = reading.peak_allocated - reading.peak_requested
            phase.unexplained = reading.peak_requested - sum(phase.split.values())
        if self._open and self.phases:
            phase = self.phases[-1]
            phase.peak_mean = self._step_peaks.mean(phase.peak_allocated)

    def _shallowest_live_layer(self) -> int | None:
        """Return the lowest layer with a trainable tensor; back-propagation stops there."""
        for index, unit in enumerate(self.handle.units()):
            if any(parameter.requires_grad for parameter in unit):
                return index
        return None


def _kind_of(shapes: Iterable[BatchShape], variant: Hashable) -> tuple[str, int]:
    """Return the kind of a step with batches of these shapes, and its largest one's padded tokens.

    Without padding attention may do without a mask, which makes a kind of its own.
    """
    largest = max(shapes, key=lambda shape: shape.tokens)
    return repr((variant, largest.padded)), largest.tokens


def _empty_phase(step: int, trainable: int, layer: int | None) -> PhaseMemory:
    return PhaseMemory(
        first_step=step, steps=0, trainable=trainable, peak_allocated=0, split={}, peaks={},
        saved_activations=0, at_rest=0, shallowest_live_layer=layer,
    )  # fmt: skip
