"""Tiny models of which real steps are timed here, and what the same steps dispatch.

So narrow that their kernels take next to nothing: what is left is calls.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.calibration.stopwatch import PATIENCE, now
from harness.metering.watch import NoWatch
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.suite.settings import TrainSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.simulation.target import Target
    from harness.timing.trace import Tracer

SMALL, LARGE = BatchShape(4, 32), BatchShape(16, 64)
WARM_UP, ROUNDS, STEPS = 3, 8, 6
FIRST_WORD = 7  # the first id that is no special token


class Twin(NamedTuple):
    """A model, a method and an optimizer; together they tell calls of every kind apart.

    Modules by LoRA against full, operators without them by AdaLoRA, those of an optimizer by one
    that goes tensor by tensor.
    """

    model: str
    family: str
    method: str
    optimizer: str = "adamw"
    shape: BatchShape = SMALL


TWINS = (
    Twin("tiny-bert", "classification", "full"),
    Twin("tiny-bert", "classification", "lora"),
    Twin("tiny-bert", "classification", "full", "adamw-plain"),
    Twin("tiny-bert", "classification", "adalora"),
    Twin("tiny-llama", "causal_lm", "full"),
    Twin("tiny-llama", "causal_lm", "lora"),
)
CROWDED = Twin("tiny-bert", "classification", "full", shape=LARGE)  # kernels above all


def request_of(twin: Twin, target: Target) -> Request:
    """Return the request of a twin's step."""
    return Request(
        model=ModelSpec(config=twin.model), family=twin.family, num_labels=2, method=twin.method,
        method_options={}, train=TrainSettings(optimizer=twin.optimizer), steps=(twin.shape,),
        mask=True, target=target,
    )  # fmt: skip


def traced(request: Request) -> Tracer:
    """Return what a step dispatches; in a process of its own, as forecasts run."""
    from harness.simulation.built import prepare_process
    from harness.simulation.fake import fake_run
    from harness.timing.trace import Tracer

    prepare_process(request)
    tracer, found = Tracer(), Tracer()
    fake_run(request, tracer=tracer)
    for name in ("rows", "sizes", "passes", "modules", "unknown"):  # what another process can have
        setattr(found, name, getattr(tracer, name))
    return found


class Running:
    """A step on real tensors that can be run again and again.

    Args:
        request: what to build, of texts.
        device: where.
    """

    def __init__(self, request: Request, device: torch.device) -> None:
        from harness.tasks.families import get_family
        from harness.training.attach import build_step
        from harness.training.base import untrained
        from methods import get_method

        self._parts, self._number = request.parts(), 0
        self._wait = waiting(device)
        family, settings = get_family(request.family), request.train
        model = untrained(request.model, family, request.num_labels, settings)
        method = get_method(request.method)(**request.method_options)
        state = build_step(
            model.train(), method, request.plan(), settings, device, family, stage=request.stage
        )
        self._step = state.step
        batch = _batch(request, model)
        self._batches = [{name: value.to(device) for name, value in batch.items()}]
        self._batches *= settings.accumulate

    def run(self) -> dict[str, float]:
        """Run a step; return the seconds of its parts and of `step`, the whole.

        On a GPU a part is what the host does in it; the whole waits for the device.
        """
        watch = _Parts()
        self._wait()
        began = now()
        self._step.run(self._number, self._batches, self._parts, watch)
        self._wait()
        self._number += 1
        return {"step": now() - began, **watch.seconds()}


def least_seconds(
    steps: Sequence[Running], rounds: int = ROUNDS, each: int = STEPS, patience: float = PATIENCE
) -> list[dict[str, float]]:
    """Return the least seconds of every step's parts; all are run in turn, round after round."""
    found: list[dict[str, float]] = [{} for _ in steps]
    gc.collect()
    gc.disable()
    try:
        for step in steps:
            for _ in range(WARM_UP):
                step.run()
        began = time.monotonic()
        for number in range(rounds):
            if number > 1 and time.monotonic() - began > patience:
                break
            for step, least in zip(steps, found, strict=True):
                for _ in range(each):
                    for name, seconds in step.run().items():
                        least[name] = min(seconds, least.get(name, seconds))
    finally:
        gc.enable()
    return found


class _Parts(NoWatch):
    """Notes when each part of a step begins."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def mark(self, name: str) -> None:
        self.marks.append((name, now()))

    def seconds(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for (name, began), (_, then) in pairwise(self.marks):
            found[name] += then - began
        return found


def _batch(request: Request, model: nn.Module) -> Mapping[str, Tensor]:
    """Return a batch of a twin with values, without padding."""
    import torch

    hollow: Mapping[str, Any] = request.hollow_batch(model, request.steps[0])
    words = {name: torch.randint(0, 2, value.shape) for name, value in hollow.items()}
    words["input_ids"] += FIRST_WORD
    if "attention_mask" in words:
        words["attention_mask"].fill_(1)
        words["attention_mask"][0, -1] = 0
    return words


def waiting(device: torch.device) -> Callable[[], None]:
    """Return what waits until the device is done."""
    import torch

    return torch.cuda.synchronize if device.type == "cuda" else _nothing


def _nothing() -> None:
    """Wait for nobody."""
