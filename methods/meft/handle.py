"""MEFT at work: how far the rebuilt layer inputs are from the true ones, after every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from methods.base import Handle
from methods.common.random_state import private_random_state
from methods.meft.reversible import Trace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Change
    from methods.meft.stack import Stack


@dataclass(kw_only=True)
class MeftHandle(Handle):
    """A model on two streams.

    Attributes:
        stack: its layers.
        tolerance: the largest relative error that a run should have.
        errors: of the last epoch, by reversible layer from the top; None: not finite.
        history: the largest of them after each epoch.
    """

    stack: Stack
    tolerance: float
    errors: list[float | None] = field(default_factory=list)
    history: list[float | None] = field(default_factory=list)

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        """Measure the error on the probe."""
        errors = reconstruction_errors(self.model, self.stack, probe)
        if errors:
            self.errors = [_finite(error) for error in errors]
            self.history.append(_finite(_largest(errors)))
        return None

    def look(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Run the passes that the error is measured with."""
        for batch in probe:
            traced(self.model, self.stack, batch)

    def report(self) -> dict[str, Any]:
        """Return the errors."""
        return {
            "reconstruction_error": self.errors,
            "worst": _finite(self._worst()) if self.history else None,
            "history": self.history,
        }

    def shortfalls(self) -> list[str]:
        """Say that gradients are not what they should be."""
        worst = self._worst()
        if worst <= self.tolerance:
            return []
        size = f"up to {worst:.1g}" if math.isfinite(worst) else "not finite"
        return [
            f"MEFT's rebuilt layer inputs have a relative error {size}, more than "
            f"{self.tolerance:g}: gradients of the lowest reversible layers may be wrong; keep the "
            "streams every few layers (chunk: 4; 2 in half precision), or make lam and beta larger"
        ]

    def _worst(self) -> float:
        return _largest(math.inf if error is None else error for error in self.history)

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured so far."""
        return {"errors": list(self.errors), "history": list(self.history)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.errors, self.history = list(state["errors"]), list(state["history"])


def reconstruction_errors(
    model: nn.Module, stack: Stack, batches: Iterable[Mapping[str, Tensor]]
) -> list[float]:
    """Return |rebuilt - true| / |true| of every reversible layer's input, highest layer first.

    The larger of both streams' counts, and the largest of all batches. Forward and backward run
    as in training, with dropout; gradients, modes and random states stay as they were.
    """
    training = model.training
    model.train()
    largest: list[float] = []
    for batch in batches:
        trace = traced(model, stack, batch)
        errors = [
            _largest(map(_distance, rebuilt, true))
            for rebuilt, true in zip(trace.rebuilt, reversed(trace.true), strict=False)
        ]
        largest = [_largest(pair) for pair in zip(errors, largest or errors, strict=True)]
    model.train(training)
    return largest


def traced(model: nn.Module, stack: Stack, batch: Mapping[str, Tensor]) -> Trace:
    """Run forward and backward on one batch; return what went in and what was rebuilt."""
    trace = stack.trace = Trace()
    try:
        _run(model, batch)
    finally:
        stack.trace = None
    return trace


def _run(model: nn.Module, batch: Mapping[str, Tensor]) -> None:
    trained = [p for p in model.parameters() if p.requires_grad]
    with private_random_state(next(model.parameters()).device), torch.enable_grad():
        loss: Tensor = model(**batch).loss
        torch.autograd.grad(loss, trained, allow_unused=True)


def _distance(rebuilt: Tensor, true: Tensor) -> float:
    true = true.detach()
    return float((rebuilt - true).norm() / true.norm())


def _largest(values: Iterable[float]) -> float:
    """Return the largest value; what is not a number is larger than any."""
    return max((math.inf if math.isnan(value) else value for value in values), default=0.0)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
