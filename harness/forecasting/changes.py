"""Changes of a cell's settings that may save memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.simulation.request import Request
from harness.suite.numerics import TYPES

# A preset says all of them.
UNSAID = dict.fromkeys(name for name in TYPES if name != "precision")


@dataclass(frozen=True)
class Change:
    """A change of the settings.

    Attributes:
        what: the setting; of two changes of one setting only one can be made.
        text: what a user would write.
        edit: what it does to a request.
    """

    what: str
    text: str
    edit: Callable[[Request], Request]


def changes_of(request: Request) -> list[Change]:
    """Return the single changes that apply to the request."""
    train = request.train
    changes: list[Change] = []

    def settings(text: str, **values: Any) -> None:
        def edit(asked: Request) -> Request:
            return asked.model_copy(update={"train": asked.train.model_copy(update=values)})

        changes.append(Change(next(iter(values)), text, edit))

    if not train.gradient_checkpointing:
        settings("gradient_checkpointing: true (a second forward pass)",
                 gradient_checkpointing=True)  # fmt: skip
    if train.attention == "eager":
        settings("attention: sdpa (no matrix of attention scores)", attention="sdpa")
    if train.dtypes.preset in {"fp32", "tf32"}:
        settings("precision: bf16 (autocast over fp32 weights)", precision="bf16", **UNSAID)
    if train.dtypes.weights == "fp32":
        settings(
            "precision: bf16-weights (the base in 16 bits)", precision="bf16-weights", **UNSAID
        )
    if train.holds_outputs:
        settings("outputs: dropped (before backward)", outputs="dropped")
    if train.optimizer == "adamw":
        settings("optimizer: adamw-fused (no temporaries of foreach)", optimizer="adamw-fused")
    if train.optimizer in {"adamw", "adamw-fused"}:
        settings("optimizer: adafactor (a row and a column of state for a matrix)",
                 optimizer="adafactor")  # fmt: skip
        settings("optimizer: sgd (one state per weight, not two)", optimizer="sgd")
    if train.optimizer == "sgd" and train.momentum:
        settings("momentum: 0 (no state)", momentum=0.0)
    if all(shape.examples > 1 for shape in request.steps):
        changes.append(Change("batch_size", "half the batch, accumulate twice as often", _halve))
    if request.evaluation is not None and request.evaluation.examples > 1:
        changes.append(Change("eval_batch_size", "half the evaluation batch", _halve_evaluation))
    if request.method_options.get("layers") == "all":
        changes.append(
            Change("layers", "layers: upper-half (or a frozen lower half: back-propagation stops "
                   "there)", _upper_half)
        )  # fmt: skip
    return changes


def _halve(request: Request) -> Request:
    halved = tuple(s._replace(examples=s.examples // 2) for s in request.steps)
    train = request.train.model_copy(update={"accumulate": 2 * request.train.accumulate})
    new = request.model_copy(update={"steps": halved, "train": train})
    return _halve_evaluation(new) if train.eval_batch_size is None else new


def _halve_evaluation(request: Request) -> Request:
    shapes = {"evaluation": request.evaluation, "probe": request.probe}
    halved = {n: s._replace(examples=max(1, s.examples // 2)) for n, s in shapes.items() if s}
    return request.model_copy(update=halved)


def _upper_half(request: Request) -> Request:
    options = {**request.method_options, "layers": "upper-half"}
    return request.model_copy(update={"method_options": options})
