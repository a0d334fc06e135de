"""What the driver sees on a card: bytes per process, and who else is there."""

from __future__ import annotations

import os
from typing import Any, NamedTuple


class ProcessUse(NamedTuple):
    """Bytes that one process holds on the card; None where the driver does not tell."""

    pid: int
    num_bytes: int | None


class Device:
    """One GPU through NVML.

    Args:
        uuid: as `str(torch.cuda.get_device_properties(device).uuid)`; unlike an index it does not
            depend on CUDA_VISIBLE_DEVICES.
        nvml: the module `pynvml`, or a stand-in.

    Raises:
        nvml.NVMLError: no driver, or no such card.
    """

    def __init__(self, uuid: str, nvml: Any) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        self._handle = nvml.nvmlDeviceGetHandleByUUID(full)

    def processes(self) -> list[ProcessUse]:
        """Return every process that computes or draws on the card, each once."""
        bytes_by_pid: dict[int, int | None] = {}
        for kind in ("Compute", "Graphics"):
            listed = getattr(self._nvml, f"nvmlDeviceGet{kind}RunningProcesses")(self._handle)
            for process in listed:
                bytes_by_pid.setdefault(process.pid, process.usedGpuMemory)
        return [ProcessUse(pid, used) for pid, used in sorted(bytes_by_pid.items())]

    def own_bytes(self) -> int | None:
        """Return what this process holds; None where the driver hides it."""
        own = [process for process in self.processes() if process.pid == os.getpid()]
        return own[0].num_bytes if own else None

    def others(self) -> list[ProcessUse]:
        """Return the processes that are not this one; call it after CUDA was used.

        In a container the driver may list process ids of the host. Then this process is in the
        list under a number that it does not know: a single entry is taken to be this process, of
        several none is left out.
        """
        listed = self.processes()
        own = os.getpid()
        if all(process.pid != own for process in listed) and len(listed) == 1:
            return []
        return [process for process in listed if process.pid != own]
