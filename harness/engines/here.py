"""The devices of this machine, as cells are placed on them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.engines.placing import Device
from harness.errors import UserError
from harness.forecasting.cards import find_card
from harness.forecasting.named import card_named
from harness.gpus import InstalledGpu, capability, described, visible_devices
from harness.units import GIB

CPU = "cpu"  # the kind of a device that is no GPU
# torch sees less of a card than its driver has: 0.5 to 1.4 % on those whose figures are known.
UNSEEN = 0.985
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, versions 2 and 1


def devices_here(selection: str | None, jobs: int = 1) -> list[Device]:
    """Return the GPUs that are asked for or visible, or where there is none the CPU.

    Args:
        selection: of `--gpus`.
        jobs: cells at a time on each of them.

    Raises:
        UserError: a GPU was asked for that the machine does not have.
    """
    names = visible_devices(selection)
    if not names:
        return [Device("", CPU, host_memory(), places=jobs)]
    return [_gpu(name, jobs) for name in names]


def kind_of(gpu: InstalledGpu, major_minor: tuple[int, int]) -> str:
    """Return what a forecast calls a GPU: a known card, or one of this size and capability."""
    card = card_named(gpu.name, gpu.memory)
    if card is not None:
        return card.name
    major, minor = major_minor
    return f"custom:{UNSEEN * gpu.memory / GIB:.2f}:{major}.{minor}"


def host_memory() -> int:
    """Return the bytes of memory that this machine, or the container that it is, may use."""
    from psutil import virtual_memory

    found = [int(virtual_memory().total)]
    for name in LIMITS:
        try:
            limit = (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue
        found += [int(limit)] if limit.isdecimal() else []
    return min(found)


def environment(devices: list[Device] | tuple[Device, ...]) -> dict[str, str]:
    """Return what a cell's process is told of its devices; cells that share the CPU divide it."""
    told = {"TOKENIZERS_PARALLELISM": "false"}
    if devices[0].kind != CPU:
        told["CUDA_VISIBLE_DEVICES"] = ",".join(device.name for device in devices)
    elif devices[0].places > 1 and "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0))
        told["OMP_NUM_THREADS"] = str(max(1, cores // devices[0].places))
    return told


def _gpu(name: str, jobs: int) -> Device:
    try:
        kind = kind_of(described(name), capability(name))
    except UserError:  # part of a card, or the head of a UUID: CUDA knows it, the driver does not
        return Device(name, "unknown", sys.maxsize, places=jobs)
    return Device(name, kind, find_card(kind).usable, places=jobs)
