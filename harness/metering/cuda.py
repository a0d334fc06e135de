"""Peaks of CUDA memory: by torch's allocator, by the driver, and against the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import torch

from harness.metering.nvml import Card

Answer = TypeVar("Answer")


@dataclass
class CudaReading:
    """Peaks of one stretch of time, in bytes.

    Attributes:
        peak_allocated: blocks of live tensors and of libraries' workspaces, multiples of 512 B.
        peak_reserved: held by the caching allocator.
        context: this process's bytes outside the allocator (CUDA context, kernels), None where
            the driver does not tell them.
        peak_requested: what was asked of the allocator; `peak_allocated` counts the whole blocks
            that it gave, also where the rest of a cached one was too small to split off.
    """

    peak_allocated: int = 0
    peak_reserved: int = 0
    context: int | None = None
    peak_requested: int = 0

    @property
    def peak_device(self) -> int | None:
        """Bytes that the driver saw for this process at the peak: reserved and context."""
        return None if self.context is None else self.peak_reserved + self.context

    def include(self, other: CudaReading) -> None:
        """Widen this reading to cover another stretch of time, too."""
        self.peak_allocated = max(self.peak_allocated, other.peak_allocated)
        self.peak_reserved = max(self.peak_reserved, other.peak_reserved)
        self.peak_requested = max(self.peak_requested, other.peak_requested)
        contexts = [c for c in (self.context, other.context) if c is not None]
        self.context = max(contexts, default=None)


class Comparison(NamedTuple):
    """The ledger against what was requested of the allocator, at their peaks.

    `unexplained` is what was requested beyond the ledger's storages: workspaces of cuBLAS and
    scratch memory inside kernels; negative would mean that the ledger counts too much.
    """

    requested: int
    ledger: int
    unexplained: int
    share: float


def compare(split: Mapping[str, int], peak_requested: int) -> Comparison:
    """Compare a ledger's split with the peak of what was requested over the same step.

    Raises:
        ValueError: the peak is not positive, so nothing was measured.
    """
    if peak_requested <= 0:
        raise ValueError(f"the allocator's peak is {peak_requested} B: nothing was measured")
    ledger = sum(split.values())
    unexplained = peak_requested - ledger
    return Comparison(peak_requested, ledger, unexplained, unexplained / peak_requested)


class CudaMeter:
    """Peak memory of each phase on one CUDA device.

    Args:
        device: the device to watch.
        cuda: `torch.cuda`, or a stand-in.
        nvml: `pynvml`, or a stand-in.

    Attributes:
        note: why the driver's figures are missing, if they are.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda, nvml: Any = None) -> None:
        self._device, self._cuda = device, cuda
        self._phase = CudaReading()
        self.note: str | None = None
        self._card = self._open_card(nvml)

    def start_phase(self) -> None:
        """Forget all peaks: what `read` returns begins here."""
        self._phase = CudaReading()
        self._cuda.reset_peak_memory_stats(self._device)

    def read(self) -> CudaReading:
        """Return the peaks since `start_phase`, without what ran `apart`."""
        reading = CudaReading()
        reading.include(self._phase)
        reading.include(self._now())
        return reading

    @contextmanager
    def apart(self) -> Iterator[CudaReading]:
        """Measure a stretch for itself, such as an evaluation; its peaks are not the phase's.

        Yields a reading that is filled in when the context closes.
        """
        self._phase.include(self._now())
        self._cuda.reset_peak_memory_stats(self._device)
        reading = CudaReading()
        try:
            yield reading
        finally:
            reading.include(self._now())
            self._cuda.reset_peak_memory_stats(self._device)

    def other_processes(self) -> list[dict[str, Any]]:
        """Return pid and bytes of everybody else on the card: they make a measurement doubtful."""
        return [process._asdict() for process in self._ask(Card.others) or []]

    def card_bytes(self) -> tuple[int, int] | None:
        """Return (used, total) bytes of the whole card; None where the driver does not tell."""
        return self._ask(lambda card: (card.used(), card.total()))

    def _now(self) -> CudaReading:
        own = self._ask(Card.own_bytes)
        reserved = self._cuda.memory_reserved(self._device)
        return CudaReading(
            peak_allocated=self._cuda.max_memory_allocated(self._device),
            peak_reserved=self._cuda.max_memory_reserved(self._device),
            # Both at the same moment: the difference is what the allocator does not manage.
            context=None if own is None else max(0, own - reserved),
            peak_requested=self._cuda.memory_stats(self._device)["requested_bytes.all.peak"],
        )

    def _open_card(self, nvml: Any) -> Card | None:
        try:
            uuid = str(self._cuda.get_device_properties(self._device).uuid)
            return Card(uuid, nvml or import_module("pynvml"))
        except Exception as error:
            self._give_up(error)
            return None

    def _ask(self, question: Callable[[Card], Answer]) -> Answer | None:
        if self._card is None:
            return None
        try:
            return question(self._card)
        except Exception as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        # A figure that the driver does not give (no library, a virtual GPU) must not end a run.
        self.note = f"NVML: {type(error).__name__}: {error}"
        self._card = None
