"""Our ledger beside torch's MemTracker: peak and time of one full fine-tuning step, no weights.

MemTracker works on fake tensors; ours on the same ones, and on meta tensors as forecasts do.

    python benchmarks/memtracker.py
"""

from __future__ import annotations

import time
from typing import Any

import torch

from harness.forecasting.pool import preload, run_forked
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.target import CPU
from harness.suite.settings import TrainSettings

MODELS = [
    ("bert-base-uncased", "classification"),
    ("gpt2-medium", "causal_lm"),
    ("roberta-large", "classification"),
]


def request(model: str, family: Any) -> Request:
    """Return full fine-tuning at batch 8, 128 tokens, eager attention."""
    return Request(
        model=ModelSpec(config=model), family=family, num_labels=2, method="full",
        method_options={}, train=TrainSettings(attention="eager", clip=None),
        steps=(BatchShape(8, 128),), mask=True, target=CPU,
    )  # fmt: skip


def measure(asked: Request, tracker: str) -> tuple[int, float]:
    """Return the peak and the seconds of the second step under one tracker."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    from harness.metering.declared import declared_tensors
    from harness.metering.ledger import Ledger
    from harness.metering.watch import NoWatch
    from harness.simulation import fake
    from harness.simulation.answers import KnownAnswers
    from harness.simulation.metakernels import restore_native_kernels

    device = torch.device("meta" if tracker == "ledger, meta" else "cpu")
    if device.type == "meta":
        restore_native_kernels()
    else:
        FakeTensorMode().__enter__()
    KnownAnswers().__enter__()
    state = fake._build(asked, device)
    optimizer, step = state.optimizer, state.step
    with device:
        batch = asked.hollow_batch(state.model, asked.steps[0])
    step.run(0, [batch], [1.0], NoWatch())
    began = time.perf_counter()
    if tracker == "MemTracker":
        theirs = MemTracker()
        theirs.track_external(state.model, optimizer, *batch.values(), step.loss_sum)
        with theirs:
            step.run(1, [batch], [1.0], NoWatch())
        seconds = time.perf_counter() - began
        return theirs.get_tracker_snapshot("peak")[device]["Total"], seconds
    ledger = Ledger(
        declared_tensors(state.model, state.handle), optimizer=optimizer, inputs=batch.values(),
        model=state.model,
    )  # fmt: skip
    ledger.declare("inputs", [step.loss_sum])
    with ledger:
        step.run(1, [batch], [1.0], ledger)
    return ledger.report().peak, time.perf_counter() - began


def main() -> None:
    """Print one line per model."""
    preload(["bert", "gpt2", "roberta"])
    trackers = ["MemTracker", "ledger, fake", "ledger, meta"]
    for model, family in MODELS:
        tasks = [(measure, (request(model, family), tracker)) for tracker in trackers]
        found = dict(run_forked(tasks, 1))
        (peak, seconds), *ours = (found[index] for index in range(3))
        print(f"{model}: MemTracker {peak} B, {seconds:.2f} s; " + "; ".join(
            f"{name} {size - peak:+d} B, {took:.2f} s ({seconds / took:.1f} x faster)"
            for name, (size, took) in zip(trackers[1:], ours, strict=True)
        ))  # fmt: skip


if __name__ == "__main__":
    main()
