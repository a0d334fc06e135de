"""What holds a cell's peak, by place in the model, and what would take it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.forecasting.cards import Card, target_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.requests import requests_of
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast

if TYPE_CHECKING:
    from harness.suite.suite import Cell


@dataclass(frozen=True)
class Remedy:
    """A change of the settings, and the step with it; None where it cannot be made."""

    change: str
    step: StepForecast | None
    reason: str = ""


@dataclass(frozen=True)
class Explanation:
    """A cell's step as it is, and with one thing changed at a time."""

    cell: Cell
    card: Card
    step: StepForecast
    remedies: list[Remedy]


def explain(forecaster: Forecaster, cell: Cell, card: Card) -> Explanation:
    """Forecast the cell's first stage, and again with every change that might save memory.

    Raises:
        UserError: the cell itself cannot be forecast.
    """
    shapes = forecaster.shapes([cell])[0]
    request = requests_of(cell, target_of(card), shapes)[0]
    changes = _changes(request)
    capacity = (card.capacity,)
    answers = forecaster.ask([(request, capacity), *((new, capacity) for _, new in changes)])
    if not isinstance(answers[0], StepForecast):
        raise UserError(f"{cell.path}: {answers[0]}")
    remedies = [
        Remedy(text, answer)
        if isinstance(answer, StepForecast)
        else Remedy(text, None, str(answer))
        for (text, _), answer in zip(changes, answers[1:], strict=True)
    ]
    remedies.sort(key=lambda r: r.step.peak_allocated if r.step else 2**62)
    return Explanation(cell, card, answers[0], remedies)


def _changes(request: Request) -> list[tuple[str, Request]]:
    """List the single changes that apply to the request."""
    train = request.train
    changes: list[tuple[str, Request]] = []

    def settings(text: str, **values: Any) -> None:
        new = train.model_copy(update=values)
        changes.append((text, request.model_copy(update={"train": new})))

    if not train.gradient_checkpointing:
        settings("gradient_checkpointing: true (a second forward pass)",
                 gradient_checkpointing=True)  # fmt: skip
    if train.attention == "eager":
        settings("attention: sdpa (no matrix of attention scores)", attention="sdpa")
    if train.precision in {"fp32", "tf32"}:
        settings("precision: bf16 (autocast over fp32 weights)", precision="bf16")
    if train.precision != "bf16-weights":
        settings("precision: bf16-weights (the base in 16 bits)", precision="bf16-weights")
    if train.keep_outputs:
        settings("keep_outputs: false", keep_outputs=False)
    if train.optimizer == "adamw":
        settings("optimizer: sgd (one state per weight, not two)", optimizer="sgd")
    if all(shape.examples > 1 for shape in request.steps):
        halved = tuple(s._replace(examples=s.examples // 2) for s in request.steps)
        new = train.model_copy(update={"accumulate": 2 * train.accumulate})
        changes.append(
            ("half the batch, accumulate twice as often",
             request.model_copy(update={"steps": halved, "train": new}))
        )  # fmt: skip
    if request.method_options.get("layers") == "all":
        options = {**request.method_options, "layers": "upper-half"}
        changes.append(
            ("layers: upper-half (or a frozen lower half: back-propagation stops there)",
             request.model_copy(update={"method_options": options}))
        )  # fmt: skip
    return changes
