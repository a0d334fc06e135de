"""Stretches of a run, and how a share grows over one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, NonNegativeFloat, model_serializer, model_validator

from methods.numbers import ExactNumbers

if TYPE_CHECKING:
    from methods.base import Plan


class Span(ExactNumbers):
    """A length of training: `{epochs: 1}`, or `{fraction: 0.7}` of the whole run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: NonNegativeFloat | None = None
    fraction: float | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Span:
        if (self.epochs is None) == (self.fraction is None):
            raise ValueError("give either epochs or fraction, such as {fraction: 0.7}")
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction:g} is not between 0 and 1")
        return self

    @model_serializer
    def _as_given(self) -> dict[str, Any]:
        return {"fraction": self.fraction} if self.epochs is None else {"epochs": self.epochs}

    def steps(self, plan: Plan) -> int:
        """Return the length in optimizer steps, rounded.

        A run that is cut short (a trial) has a schedule that is shorter by as much.
        """
        if self.epochs is not None:
            uncut = plan.uncut_epochs
            if uncut and plan.num_steps < uncut * plan.steps_per_epoch:
                return round(plan.num_steps * min(1.0, self.epochs / uncut))
            return round(self.epochs * plan.steps_per_epoch)
        return round((self.fraction or 0.0) * plan.num_steps)

    def whole_epochs(self, plan: Plan) -> int:
        """Return the length in epochs, rounded."""
        if self.epochs is not None:
            return round(self.epochs)
        return round((self.fraction or 0.0) * plan.num_epochs)

    def __str__(self) -> str:
        return f"{self.epochs:g}ep" if self.epochs is not None else f"{self.fraction:g}T"


def done(now: float, start: float, end: float) -> float:
    """Return how much of [start, end] is over at `now`, from 0 to 1."""
    return min(1.0, max(0.0, (now - start) / (end - start)))


def cubic(share: float) -> float:
    """Return 1 - (1 - share)^3: fast at first (AFLoRA eq. 5; SAFE's threshold)."""
    return 1.0 - (1.0 - share) ** 3


def quadratic(share: float) -> float:
    """Return share^2: slow at first (AFLoRA's released code for GSM8K)."""
    return share * share
