"""Peaks of CUDA memory: by torch's allocator and by the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

import torch

from harness.metering.nvml import Device

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
        self._nvml_device = self._open_device(nvml)

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

    def held(self) -> tuple[int, int]:
        """Return bytes that the allocator holds now, and bytes of the whole card."""
        whole = self._cuda.get_device_properties(self._device).total_memory
        return self._cuda.memory_reserved(self._device), whole

    def other_processes(self) -> list[dict[str, Any]]:
        """Return pid and bytes of everybody else on the card: they make a measurement doubtful."""
        return [process._asdict() for process in self._ask(Device.others) or []]

    def _now(self) -> CudaReading:
        own = self._ask(Device.own_bytes)
        reserved = self._cuda.memory_reserved(self._device)
        return CudaReading(
            peak_allocated=self._cuda.max_memory_allocated(self._device),
            peak_reserved=self._cuda.max_memory_reserved(self._device),
            # Both at the same moment: the difference is what the allocator does not manage.
            context=None if own is None else max(0, own - reserved),
            peak_requested=self._cuda.memory_stats(self._device)["requested_bytes.all.peak"],
        )

    def _open_device(self, nvml: Any) -> Device | None:
        try:
            uuid = str(self._cuda.get_device_properties(self._device).uuid)
            return Device(uuid, nvml or import_module("pynvml"))
        except Exception as error:
            self._give_up(error)
            return None

    def _ask(self, question: Callable[[Device], Answer]) -> Answer | None:
        if self._nvml_device is None:
            return None
        try:
            return question(self._nvml_device)
        except Exception as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        # A figure that the driver does not give (no library, a virtual GPU) must not end a run.
        self.note = f"NVML: {type(error).__name__}: {error}"
        self._nvml_device = None
