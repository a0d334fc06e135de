"""Phases, the driver's figures and foreign processes, on a card made of two stubs."""

from __future__ import annotations

import os
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import torch

from harness.metering.cuda import CudaMeter, CudaReading

MIB = 2**20
CONTEXT = 400 * MIB
DEVICE = torch.device("cuda", 0)


class FakeCuda:
    """torch.cuda with one device whose allocator never gives memory back."""

    def __init__(self) -> None:
        self.allocated = self.reserved = self.peak = self.peak_held = 0

    def use(self, num_bytes: int) -> None:
        """Allocate and free at once."""
        self.peak = max(self.peak, self.allocated + num_bytes)
        self.reserved = max(self.reserved, self.allocated + num_bytes)
        self.peak_held = max(self.peak_held, self.reserved)

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.peak, self.peak_held = self.allocated, self.reserved

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.peak

    def memory_stats(self, device: torch.device) -> dict[str, int]:
        return {"requested_bytes.all.peak": self.peak}

    def max_memory_reserved(self, device: torch.device) -> int:
        return self.peak_held

    def memory_reserved(self, device: torch.device) -> int:
        return self.reserved

    def get_device_properties(self, device: torch.device) -> Any:
        return SimpleNamespace(uuid="0123-45")


class FakeNvml:
    """pynvml with one card; `pids` are other processes of 100 MiB each."""

    def __init__(self, cuda: FakeCuda, *pids: int, own: int | None = None) -> None:
        self.cuda, self.pids = cuda, pids
        self.own = os.getpid() if own is None else own

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-0123-45":
            raise LookupError(uuid)
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        used = self.cuda.reserved + CONTEXT + len(self.pids) * 100 * MIB
        return SimpleNamespace(used=used, total=24 * 1024 * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        mine = SimpleNamespace(pid=self.own, usedGpuMemory=self.cuda.reserved + CONTEXT)
        return [mine, *self.nvmlDeviceGetGraphicsRunningProcesses(handle)]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: str) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=100 * MIB) for pid in self.pids]


def make_meter(*pids: int, own: int | None = None) -> tuple[FakeCuda, CudaMeter]:
    cuda = FakeCuda()
    return cuda, CudaMeter(DEVICE, cuda, FakeNvml(cuda, *pids, own=own))


def test_a_phase_begins_with_fresh_peaks() -> None:
    cuda, meter = make_meter()
    cuda.use(90 * MIB)
    meter.start_phase()
    cuda.use(50 * MIB)
    reading = meter.read()
    assert reading.peak_allocated == 50 * MIB
    assert reading.peak_reserved == 90 * MIB  # the allocator keeps what it has
    assert reading.peak_device == 90 * MIB + CONTEXT


def test_what_runs_apart_is_not_in_the_phase() -> None:
    cuda, meter = make_meter()
    meter.start_phase()
    cuda.use(20 * MIB)
    with meter.apart() as evaluation:
        cuda.use(70 * MIB)
    cuda.use(10 * MIB)
    assert evaluation.peak_allocated == 70 * MIB
    assert meter.read().peak_allocated == 20 * MIB


def test_apart_reads_even_if_its_body_fails() -> None:
    cuda, meter = make_meter()
    with suppress(MemoryError), meter.apart() as evaluation:
        cuda.use(70 * MIB)
        raise MemoryError
    assert evaluation.peak_allocated == 70 * MIB


def test_other_processes_are_named_once() -> None:
    _, alone = make_meter()
    _, shared = make_meter(17, 4)
    assert alone.other_processes() == []
    others = [{"pid": 4, "num_bytes": 100 * MIB}, {"pid": 17, "num_bytes": 100 * MIB}]
    assert shared.other_processes() == others


def test_process_ids_of_the_host() -> None:
    """In a container this process does not know its own number on the list."""
    cuda, alone = make_meter(own=999_999_999)
    cuda.use(MIB)
    assert alone.other_processes() == []
    assert alone.read().peak_device is None
    _, shared = make_meter(17, own=999_999_999)
    assert [process["pid"] for process in shared.other_processes()] == [17, 999_999_999]


def test_without_a_driver_the_allocator_still_counts() -> None:
    cuda = FakeCuda()
    meter = CudaMeter(DEVICE, cuda, SimpleNamespace())
    meter.start_phase()
    cuda.use(MIB)
    assert meter.read() == CudaReading(MIB, MIB, None, MIB)
    assert meter.other_processes() == []
    assert meter.note is not None
    assert "nvmlInit" in meter.note


def test_a_driver_that_refuses_is_asked_no_more() -> None:
    cuda, meter = make_meter()
    cuda.use(MIB)
    refusing = FakeNvml(cuda)
    refusing.nvmlDeviceGetGraphicsRunningProcesses = lambda handle: [][0]  # type: ignore[method-assign]
    meter = CudaMeter(DEVICE, cuda, refusing)
    assert meter.note is None
    assert meter.read() == CudaReading(MIB, MIB, None, MIB)
    assert meter.note == "NVML: IndexError: list index out of range"


def test_the_real_pynvml_has_what_is_called() -> None:
    import pynvml

    for name in vars(FakeNvml):
        if name.startswith("nvml"):
            assert callable(getattr(pynvml, name))
