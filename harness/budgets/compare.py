"""Figures against budgets: which cells grew, where, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness.budgets.figures import Figure, Figures
from harness.budgets.file import Budget, CellBudget, refuse_other_kind
from harness.budgets.times import TimeFinding, compare_times

Kind = Literal["within", "over", "win", "missing", "new"]


@dataclass(frozen=True)
class Finding:
    """One cell. Bytes; `category` and `module` are what grew most, with their growth."""

    path: str
    kind: Kind
    peak: int | None = None
    budget: int | None = None
    category: str = ""
    category_growth: int = 0
    module: str = ""
    module_growth: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """All cells' findings, and those of step times where the budget holds them."""

    findings: list[Finding]
    tolerance: float
    times: list[TimeFinding] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def kinds(self) -> set[str]:
        """What was found, of bytes and of times."""
        return {finding.kind for finding in self.findings} | {one.kind for one in self.times}

    def exit_code(self, ratchet: bool, blind: bool = False) -> int:
        """Return 1 where a cell is over or slower (with a ratchet: or wins), 3 where one is gone.

        3 also where nothing was compared at all. `blind` is for figures that other software made:
        then none is over.
        """
        kinds = self.kinds
        if not blind and kinds & {"over", "slower", *(("win", "faster") if ratchet else ())}:
            return 1
        return 3 if "missing" in kinds or not kinds & {"within", "over", "win"} else 0


def compare(budget: Budget, figures: Figures) -> Verdict:
    """Hold every figure against its budget.

    Raises:
        UserError: the figures are of another kind or card than the budget.
    """
    refuse_other_kind(budget, figures)
    findings = []
    for path, row in budget.cells.items():
        figure = figures.cells.get(path)
        if figure is None:
            reason = figures.errors.get(path, "the source has no such cell")
            findings.append(Finding(path, "missing", budget=row.peak, reason=reason))
        else:
            findings.append(_judge(path, row, figure, budget.tolerance))
    for path, figure in figures.cells.items():
        if path not in budget.cells:
            findings.append(Finding(path, "new", peak=figure.peak))
    steps = {path: figure.step for path, figure in figures.cells.items() if figure.step}
    return Verdict(findings, budget.tolerance, compare_times(budget.steps, steps))


def _judge(path: str, row: CellBudget, figure: Figure, tolerance: float) -> Finding:
    change = figure.peak - row.peak
    kind: Kind = "within"
    if change > tolerance * row.peak:
        kind = "over"
    elif -change > tolerance * row.peak:
        kind = "win"
    sign = -1 if kind == "win" else 1
    category, by_category = _moved_most(row.split, figure.split, sign)
    module, by_module = _moved_most(row.modules, figure.modules, sign)
    return Finding(path, kind, figure.peak, row.peak, category, by_category, module, by_module)


def _moved_most(before: dict[str, int], after: dict[str, int], sign: int) -> tuple[str, int]:
    """Return the name that moved most in the direction of `sign`, and by how much.

    A place that one side does not list holds next to nothing there.
    """
    moves = {n: after.get(n, 0) - before.get(n, 0) for n in before.keys() | after.keys()}
    name = max(sorted(moves), key=lambda n: sign * moves[n], default="")
    return name, moves.get(name, 0)
