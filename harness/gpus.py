"""Which GPUs there are: on this machine, asked of the driver, and those to forecast for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from harness.errors import UserError
from methods.wording import nearest

GIB = 2**30
MIB = 2**20
# Bytes of a process's CUDA context with torch's kernels loaded as they are first used, beside
# what the caching allocator holds: about this much, by architecture and driver. Measured on an H100
# (742 to 754 MiB; torch 2.11+cu130, driver 580), assumed for the others; measure yours: NVML's
# figure for a process minus its reserved bytes.
CONTEXT = {7: 320 * MIB, 8: 420 * MIB, 9: 750 * MIB}


@dataclass(frozen=True)
class Card:
    """A card to forecast for.

    Attributes:
        name: as `--gpu` takes it.
        usable: bytes that torch sees as the device's total memory, context included.
        capability: CUDA compute capability.
        context: bytes of the CUDA context; `usable` minus it is what the allocator may reserve.
    """

    name: str
    usable: int
    capability: tuple[int, int]
    context: int

    @property
    def capacity(self) -> int:
        """Bytes that the allocator may reserve."""
        return self.usable - self.context


def _card(name: str, gib: float, capability: tuple[int, int]) -> Card:
    return Card(name, round(gib * GIB), capability, CONTEXT.get(capability[0], CONTEXT[9]))


# GiB that `torch.cuda.get_device_properties(0).total_memory` reports, ECC on where it is the
# default.
CARDS = {
    card.name: card
    for card in (
        _card("rtx4090", 23.65, (8, 9)),
        _card("rtx3090", 23.69, (8, 6)),
        _card("rtx4080", 15.70, (8, 9)),
        _card("a6000", 47.54, (8, 6)),
        _card("l4", 22.05, (8, 9)),
        _card("l40s", 44.40, (8, 9)),
        _card("a10", 21.99, (8, 6)),
        _card("t4", 14.75, (7, 5)),
        _card("v100-16", 15.77, (7, 0)),
        _card("v100-32", 31.74, (7, 0)),
        _card("a100-40", 39.39, (8, 0)),
        _card("a100-80", 79.15, (8, 0)),
        _card("h100", 79.10, (9, 0)),
        _card("h200", 139.80, (9, 0)),
    )
}


def find_card(text: str) -> Card:
    """Return a card by name, or a custom one, `custom:GIB:CAPABILITY` such as `custom:11.6:8.6`.

    Raises:
        UserError: no such card.
    """
    kind, *rest = text.strip().lower().split(":")
    if kind == "custom" and len(rest) == 2:
        try:
            major, minor = rest[1].split(".")
            return replace(_card("custom", float(rest[0]), (int(major), int(minor))), name=text)
        except ValueError:
            pass
    if kind == "custom":
        raise UserError(f"--gpu {text}: expected custom:GIB:CAPABILITY, such as custom:11.6:8.6")
    if kind not in CARDS:
        raise UserError(f"--gpu {text}: unknown card; {nearest(kind, [*CARDS, 'custom:11.6:8.6'])}")
    return CARDS[kind]


@dataclass(frozen=True)
class Gpu:
    """A card as the driver describes it; memory in bytes."""

    index: int
    name: str
    memory: int


def installed() -> list[Gpu]:
    """List the machine's NVIDIA GPUs; empty where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
            found.append(Gpu(index, str(pynvml.nvmlDeviceGetName(handle)), int(memory)))
        return found
    finally:
        pynvml.nvmlShutdown()


def capability(index: int = 0) -> tuple[int, int]:
    """Return a GPU's compute capability as the driver tells it.

    Asking torch would start CUDA in this process, and no forecast in a fork survives that.

    Raises:
        UserError: there is no such GPU.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    except pynvml.NVMLError as error:
        raise UserError(f"GPU {index} of this machine: {error}") from None
    return int(major), int(minor)


def visible_devices(wanted: str | None) -> list[str]:
    """Return the devices to use: those asked for, else what CUDA_VISIBLE_DEVICES says, else all.

    Raises:
        UserError: a device was asked for that the machine does not have.
    """
    present = [str(gpu.index) for gpu in installed()]
    if wanted is not None:
        asked = [part.strip() for part in wanted.split(",") if part.strip()]
        missing = [device for device in asked if device not in present]
        if missing or not asked:
            here = ", ".join(present) if present else "none"
            raise UserError(f"--gpus {wanted}: GPUs on this machine: {here}")
        return asked
    masked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if masked is not None and present:
        return [part.strip() for part in masked.split(",") if part.strip()]
    return present
