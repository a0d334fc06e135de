"""Which GPUs this machine has, as the driver tells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError


@dataclass(frozen=True)
class InstalledGpu:
    """A card as the driver describes it; memory in bytes."""

    index: int
    name: str
    memory: int


def installed() -> list[InstalledGpu]:
    """List the machine's NVIDIA GPUs; empty where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
            gpus.append(InstalledGpu(index, str(pynvml.nvmlDeviceGetName(handle)), int(memory)))
        return gpus
    finally:
        pynvml.nvmlShutdown()


def described(device: str) -> InstalledGpu:
    """Describe one GPU, named as CUDA_VISIBLE_DEVICES has it: by its number, or by its UUID.

    Raises:
        UserError: there is no such GPU.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = _handle(device)
        memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
        number = int(pynvml.nvmlDeviceGetIndex(handle))
        return InstalledGpu(number, str(pynvml.nvmlDeviceGetName(handle)), memory)
    except pynvml.NVMLError as error:
        raise UserError(f"GPU {device} of this machine: {error}") from None


def capability(device: int | str = 0) -> tuple[int, int]:
    """Return a GPU's compute capability as the driver tells it.

    Asking torch would start CUDA in this process, and no forecast in a fork survives that.

    Raises:
        UserError: there is no such GPU.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(_handle(str(device)))
    except pynvml.NVMLError as error:
        raise UserError(f"GPU {device} of this machine: {error}") from None
    return int(major), int(minor)


def _handle(device: str) -> Any:
    import pynvml

    if device.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(device))
    return pynvml.nvmlDeviceGetHandleByUUID(device)


def too_few(devices: int, present: int) -> str:
    """Say that a cell's training asks for more GPUs than there are."""
    here = "this machine has 1 GPU" if present == 1 else f"this machine has {present} GPUs"
    return f"train.devices = {devices}: {here}"


def visible_devices(selection: str | None) -> list[str]:
    """Return the devices to use: those asked for, else what CUDA_VISIBLE_DEVICES says, else all.

    Raises:
        UserError: a device was asked for that the machine does not have.
    """
    present = [str(gpu.index) for gpu in installed()]
    if selection is not None:
        asked = [part.strip() for part in selection.split(",") if part.strip()]
        missing = [device for device in asked if device not in present]
        if missing or not asked:
            here = ", ".join(present) if present else "none"
            raise UserError(f"--gpus {selection}: GPUs on this machine: {here}")
        return asked
    masked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if masked is not None and present:
        return [part.strip() for part in masked.split(",") if part.strip()]
    return present
