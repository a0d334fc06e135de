"""The budget file: one cell a line, so that a change shows in a diff as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from harness import durable
from harness.budgets.figures import Figure, Figures
from harness.budgets.plain import load_plain
from harness.budgets.times import StepBudget
from harness.errors import UserError
from harness.part import Part
from harness.untrusted import reading

SCHEMA: Literal[1] = 1
TOLERANCE = 0.001  # forecasts repeat to the byte; measured budgets want about 0.02
LEAST = 0.0005  # of the peak: places that hold less are not listed
Bytes = Annotated[int, Field(ge=0, lt=2**63)]  # as torch counts them


class CellBudget(Part):
    """The budget of one cell, in bytes; of its step time where that is held, too."""

    peak: Bytes
    split: dict[str, Bytes]
    modules: dict[str, Bytes]
    step: StepBudget | None = Field(None, exclude_if=lambda value: value is None)


class Reason(Part):
    """Why the budget moved once."""

    reason: str
    commit: str
    cells: int = Field(ge=0)


class Budget(Part):
    """A budget file."""

    schema_version: Literal[1] = Field(alias="schema")
    kind: Literal["forecast", "measured"]
    gpu: str
    software: dict[str, str]
    tolerance: float = Field(TOLERANCE, ge=0, lt=1)
    history: list[Reason] = Field(default_factory=list)
    cells: dict[str, CellBudget] = Field(min_length=1)

    @property
    def steps(self) -> dict[str, StepBudget]:
        """The step times that it holds, by cell."""
        return {path: row.step for path, row in self.cells.items() if row.step}


def software() -> dict[str, str]:
    """Return the versions that move memory, without their build tags."""
    from harness.env import MEMORY_PACKAGES, package_versions

    versions = package_versions()
    return {name: versions[name].partition("+")[0] for name in MEMORY_PACKAGES}


def read_budget(file: Path) -> Budget:
    """Read a budget file.

    Raises:
        UserError: it is missing, or is anything else than a budget.
    """
    with reading(file, "a budget", Budget):
        if not file.exists():
            raise UserError(
                f"{file}: no such budget file; `python -m harness.budget update` writes one"
            )
        text = file.read_bytes().decode("utf-8")
        return Budget.model_validate(load_plain(text), strict=True)


def updated(file: Path, figures: Figures, reason: str) -> tuple[Budget, list[str]]:
    """Return the budget with the figures in it, and the paths of the cells that moved.

    A cell that moved less than a third of the tolerance, and its time of the error bar, keeps its
    line, so that small movements neither add up unseen nor fill diffs. Cells that the source no
    longer has are dropped.

    Raises:
        UserError: a cell has no figure, there is none at all, or the file is of another kind.
    """
    if figures.errors:
        path, why = next(iter(figures.errors.items()))
        raise UserError(f"{path} has no figure: {why}")
    if not figures.cells:
        raise UserError("there is no figure to make a budget of")
    old = read_budget(file) if file.exists() else None
    if old is not None:
        refuse_other_kind(old, figures)
    before = old.cells if old else {}
    tolerance = old.tolerance if old else TOLERANCE
    cells, moved = {}, [path for path in before if path not in figures.cells]
    for path, figure in sorted(figures.cells.items()):
        row = before.get(path)
        still = row is not None and abs(figure.peak - row.peak) <= tolerance / 3 * row.peak
        if row is not None and still and _same_time(row.step, figure.step):
            cells[path] = row
        else:
            cells[path] = budget_of(figure)
            moved.append(path)
    history = [*(old.history if old else [])]
    if moved:
        history.append(Reason(reason=reason, commit=_commit(), cells=len(moved)))
    return Budget(
        schema=SCHEMA, kind=figures.kind, gpu=figures.gpu, software=software(),
        tolerance=tolerance, history=history, cells=cells,
    ), moved  # fmt: skip


def _same_time(before: StepBudget | None, now: StepBudget | None) -> bool:
    if before is None or now is None:
        return before is now
    return abs(now.seconds / before.seconds - 1) <= max(before.bar, now.bar) / 3


def refuse_other_kind(budget: Budget, figures: Figures) -> None:
    """Refuse to hold measured figures against forecast ones, or one card's against another's.

    Raises:
        UserError: the two differ in kind or card.
    """
    if (budget.kind, budget.gpu) != (figures.kind, figures.gpu):
        raise UserError(
            f"the budget holds {budget.kind} figures of {budget.gpu}; these are {figures.kind} "
            f"ones of {figures.gpu}; name another --budget file"
        )


def budget_of(figure: Figure) -> CellBudget:
    """Return the line of a figure: categories that hold something, places that hold much."""
    split = {name: size for name, size in figure.split.items() if size}
    large = {name: size for name, size in figure.modules.items() if size >= LEAST * figure.peak}
    step = figure.step.rounded() if figure.step else None
    return CellBudget(peak=figure.peak, split=split, modules=large, step=step)


def write_budget(file: Path, budget: Budget) -> None:
    """Write the file, every cell and every change on a line of its own."""
    content = budget.model_dump(by_alias=True)
    cells, history = content.pop("cells"), content.pop("history")
    parts = [yaml.safe_dump(content, sort_keys=False), "history:\n"]
    parts += [f"- {_flow(change)}\n" for change in history]
    parts += ["cells:\n", *(f"  {_flow(path)}: {_flow(row)}\n" for path, row in cells.items())]
    durable.write_text(file, "".join(parts))


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")


def _commit() -> str:
    from harness.env import git_state

    state = git_state()
    return "unknown" if state is None else state.commit[:12]
