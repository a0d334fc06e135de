"""Requests of the catalogue's models, with short defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.forecasting.pool import run_forked
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings

SM86 = Target(kind="cuda", capability=(8, 6))


def request(
    model: str,
    method: str = "lora",
    options: dict[str, Any] | None = None,
    *,
    family: Any = "classification",
    steps: tuple[tuple[int, int], ...] = ((4, 32),),
    mask: bool = True,
    target: Target = SM86,
    **train: Any,
) -> Request:
    """Return a request; further names are training settings."""
    return Request(
        model=ModelSpec(config=model), family=family, num_labels=2, method=method,
        method_options=options or {}, train=TrainSettings(**train),
        steps=tuple(BatchShape(*step) for step in steps), mask=mask, target=target,
    )  # fmt: skip


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run the function in a fork, as forecasts run; raise what it raised."""
    ((_, result),) = run_forked([(function, arguments)], workers=1)
    if isinstance(result, Exception):
        raise result
    return result
