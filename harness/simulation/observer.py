"""What watches steps on hollow tensors: FLOPs, scratch memory, workspaces of libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.flop_counter import flop_registry, shape_wrapper

from harness.metering.flops import CPU_ATTENTION
from harness.metering.launches import Launch
from harness.metering.ledger import Ledger
from harness.simulation import scratch
from harness.simulation.target import Target
from harness.timing.trace import Tracer


class Observer:
    """Sees every operator: counts FLOPs by part of the step, knows the kernels' scratch memory."""

    def __init__(self, target: Target) -> None:
        self.target, self.part = target, "forward"
        self.tracer: Tracer | None = None
        self.on_addmm: Callable[[], None] = lambda: None
        self.restart()

    def restart(self) -> None:
        """Count from 0."""
        self.flops = {"forward": 0, "backward": 0}

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        """Count an operator's FLOPs; return the bytes that its kernel needs for itself."""
        flops = flops_of(func, args, kwargs, out)
        if flops and self.part in self.flops:
            self.flops[self.part] += flops
        if self.tracer is not None:
            self.tracer(func, args, kwargs, out, self.part, flops)
        if func is scratch.ADDMM:
            self.on_addmm()
        if func in scratch.KNOWN and self.target.kind == "cuda":
            return scratch.scratch_bytes(func, args, out, self.target)
        return 0

    def launched(self, kernel: Launch) -> None:
        """Note a kernel that no operator stands for."""
        if self.tracer is not None:
            self.tracer.launch(kernel, self.part)


_COUNTERS: dict[Any, Any] = {
    **flop_registry,
    **{
        packet: shape_wrapper(count)  # type: ignore[no-untyped-call]
        for packet, count in CPU_ATTENTION.items()
    },
}


def flops_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Return an operator's FLOPs, a multiply-add as two; 0 for all that is no product."""
    count = _COUNTERS.get(func._overloadpacket)
    return 0 if count is None else int(count(*args, **kwargs, out_val=out))


class Workspaces:
    """Passes the step's marks on; the first matrix products of each thread bring workspaces."""

    def __init__(self, ledger: Ledger, observer: Observer, target: Target) -> None:
        self.ledger, self.observer = ledger, observer
        self.missing = {"forward", "backward"}
        self.without_lt = {"forward", "backward"} if target.kind == "cuda" else set()
        self.size = scratch.workspace_bytes(target)
        self.declare, self.emptied = ledger.declare, ledger.emptied
        observer.on_addmm = self._hold_lt

    def mark(self, name: str) -> None:
        """Note that a part of the step begins."""
        self.ledger.mark(name)
        self.observer.part = name
        if name in self.missing and self.size:
            self.missing.remove(name)
            self.ledger.hold(self.size, "cublas::workspace")

    def _hold_lt(self) -> None:
        if self.observer.part in self.without_lt:
            self.without_lt.remove(self.observer.part)
            self.ledger.hold(scratch.LT_WORKSPACE, "cublaslt::workspace")
