"""CPUs and traces with round numbers, for tests of times."""

from __future__ import annotations

from harness.forecasting.calibrated import Calibration, Device, Host
from harness.timing.processor import Curve, Processor
from harness.timing.rows import Row, Rows
from harness.timing.trace import Tracer

US, MIB = 1e-6, 2**20


def processor(threads: int = 1, **changed: float) -> Processor:
    """Return a CPU of 1 GB/s and 1 GFLOP/s whose calls take microseconds."""
    constants = {
        "forward": 4 * US, "backward": 3 * US, "optimizer": 2 * US, "module": 5 * US,
        "per_pass": 100 * US, "per_update": 50 * US, "crowding": 1.0,
    } | changed  # fmt: skip
    line = ((0.0, 0.0), (1e6, 1e-3), (1e9, 1.0))
    curves = tuple(Curve(op=name, points=line) for name in ("aten::add", "aten::mm"))
    return Processor(threads=threads, curves=curves, **constants)


def row(op: str, part: str, moved: int = 0, flops: int = 0) -> Row:
    """Return an operator that reads so many bytes; a view where it moves nothing."""
    reads = ((1, moved), (2, moved)) if flops else ((1, moved),)
    return Row(f"aten::{op}", part, not moved, flops, None, reads, ((3, moved * bool(flops)),))


def trace(forward: int, backward: int, optimizer: int, modules: int, moved: int = 4) -> Tracer:
    """Return a step of so many operators in each part, and so many modules."""
    tracer, rows = Tracer(), []
    for part, count in {"forward": forward, "backward": backward, "optimizer": optimizer}.items():
        rows += [row("add", part, moved)] * count
    tracer.begin("step 1", 4, 128)
    tracer.rows["step 1"] = Rows(rows)
    tracer.modules["step 1"] = [0] * modules
    return tracer


def calibration(**changed: object) -> Calibration:
    """Return what was measured on a machine with an L40S."""
    device = Device(gpu="NVIDIA L40S", bandwidth=0.85, products=0.7, products_fp32=0.5)
    facts: dict[str, object] = {
        "date": "2026-11-26", "cpu": "AMD EPYC", "cores": 2, "versions": {"torch": "2.13.0"},
        "host": Host(seconds=9e-6, measured=True), "devices": {"l40s": device},
        "processors": [processor(1), processor(2)],
    }  # fmt: skip
    return Calibration.model_validate(facts | changed)
