"""Step times against budgets: a cell may not get slower than its error bar can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from harness.budgets.spot import Spot
from harness.part import Part

Kind = Literal["within", "slower", "faster", "missing", "new"]


class StepBudget(Part):
    """The forecast step of a cell.

    Attributes:
        seconds: of a mean step, by the card's datasheet and a host that is the same everywhere.
        bar: how far the ratio of two such times may be off, as a fraction: what they may differ by.
    """

    seconds: float = Field(gt=0, lt=1e9)
    bar: float = Field(gt=0, lt=1)

    def rounded(self) -> StepBudget:
        """Return it as a file has it: four digits say more than is known."""
        return StepBudget(seconds=float(f"{self.seconds:.4g}"), bar=float(f"{self.bar:.4g}"))


@dataclass(frozen=True)
class TimeFinding:
    """One cell's step time; seconds."""

    spot: Spot
    kind: Kind
    step: StepBudget | None = None
    budget: StepBudget | None = None

    @property
    def change(self) -> float:
        """The time over its budget, minus 1."""
        assert self.step is not None
        assert self.budget is not None
        return self.step.seconds / self.budget.seconds - 1

    @property
    def bar(self) -> float:
        """What the two may differ by: the wider of their bars."""
        return max(each.bar for each in (self.step, self.budget) if each)


def compare_times(
    budgets: Mapping[Spot, StepBudget], steps: Mapping[Spot, StepBudget]
) -> list[TimeFinding]:
    """Hold every budgeted step time against what it is now; where none is budgeted, nothing."""
    findings = []
    for spot, budget in budgets.items():
        step = steps.get(spot)
        if step is None:
            findings.append(TimeFinding(spot, "missing", budget=budget))
            continue
        found = TimeFinding(spot, "within", step, budget)
        if abs(found.change) > found.bar:
            kind: Kind = "slower" if found.change > 0 else "faster"
            found = TimeFinding(spot, kind, step, budget)
        findings.append(found)
    unknown = [spot for spot in steps if spot not in budgets] if budgets else []
    return [*findings, *(TimeFinding(spot, "new", steps[spot]) for spot in unknown)]
