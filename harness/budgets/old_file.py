"""Budget files of schema 1, of one card, with places by module alone; until November 2026."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.budgets.times import StepBudget
from harness.part import Part

Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class OldRow(Part):
    """The budget of one cell, in bytes."""

    peak: Bytes
    split: dict[str, Bytes]
    modules: dict[str, Bytes]
    step: StepBudget | None = None


class OldReason(Part):
    """Why the budget moved once."""

    reason: str
    commit: str
    cells: int = Field(ge=0)


class OldBudget(Part):
    """A budget file as it was."""

    schema_version: Literal[1] = Field(alias="schema")
    kind: Literal["forecast", "measured"]
    gpu: str
    software: dict[str, str]
    tolerance: float = Field(0.001, ge=0, lt=1)
    history: list[OldReason] = Field(default_factory=list)
    cells: dict[str, OldRow] = Field(min_length=1)
