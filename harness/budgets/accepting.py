"""What `update` writes: new budgets for what moved, the old ones for all else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.budgets.compare import compare
from harness.budgets.figures import Figure, Figures
from harness.budgets.file import (
    SCHEMA,
    STEP,
    TOLERANCES,
    Budget,
    CardBudget,
    check_metrics,
    refuse_other_kind,
    row_of,
)
from harness.budgets.spot import Spot
from harness.budgets.times import StepBudget
from harness.errors import UserError

STILL = 1 / 3  # of the tolerance: less than that is no move


@dataclass(frozen=True)
class Accepted:
    """What is asked for.

    Attributes:
        reason: why budgets move.
        tolerance: by metric, over what the file says.
        only: what may be written; None: all that moved.
    """

    reason: str
    tolerance: Mapping[str, float] = field(default_factory=dict)
    only: Collection[Spot] | None = None


def tolerances(given: Sequence[str]) -> dict[str, float]:
    """Return shares by metric, of `METRIC=SHARE` each.

    Raises:
        UserError: one is something else.
    """
    found = {}
    for text in given:
        name, _, share = text.partition("=")
        try:
            value = float(share)
            check_metrics([name])
        except ValueError as error:
            said = str(error) if "metric" in str(error) else f"{share!r} is no number"
            raise UserError(f"--tolerance {text}: {said}") from None
        if not 0 <= value < 1:
            raise UserError(f"--tolerance {text}: a share from 0 to below 1, such as 0.02")
        found[name] = value
    return found


def failing(old: Budget | None, figures: Figures, asked: Accepted) -> Accepted:
    """Return what is asked for, of the cells alone that a strict check fails on.

    Raises:
        UserError: there is no file yet, or its figures are of other versions: all have to move.
    """
    if old is None:
        raise UserError("--only-failing: there is no budget file yet, so that nothing fails")
    for card in figures.cards:
        if card in old.cards and old.cards[card] != figures.software[card]:
            raise UserError(
                f"--only-failing: the file's figures of {card} are of {_listed(old.cards[card])}, "
                f"here is {_listed(figures.software[card])}; update all of them"
            )
    return replace(asked, only=compare(old, figures).failing(strict=True))


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def updated(old: Budget | None, figures: Figures, asked: Accepted) -> tuple[Budget, list[Spot]]:
    """Return the budget with the figures in it, and what moved.

    What moved less than a third of its tolerance, and its time of the error bar, keeps its block,
    so that small movements neither add up unseen nor fill diffs. Cells that the source no longer
    has are dropped. Cards that the figures are not of stay as they are.

    Raises:
        UserError: a cell has no figure, there is none at all, or the file is of another kind.
    """
    if figures.errors:
        spot, why = next(iter(figures.errors.items()))
        raise UserError(f"{spot.path} has no figure: {why}")
    if not figures.cells:
        raise UserError("there is no figure to make a budget of")
    if old is not None:
        refuse_other_kind(old, figures)
    tolerance = {**(old.tolerance if old else TOLERANCES[figures.kind]), **asked.tolerance}
    if figures.kind == "forecast" and STEP in tolerance:
        raise UserError(
            "tolerance: a forecast step may move by its own error bar; --time holds it, without "
            f"a share for {STEP!r}"
        )
    before = old.spots if old else {}
    rows: dict[Spot, CardBudget] = {}
    moved: list[Spot] = []
    for spot in sorted({*before, *figures.cells}):
        row, figure = before.get(spot), figures.cells.get(spot)
        keep = asked.only is not None and spot not in asked.only
        if figure is None:
            assert row is not None
            if keep or spot.card not in figures.cards:
                rows[spot] = row
            else:
                moved.append(spot)
        elif row is None or not is_still(row.figure(), figure, tolerance):
            if not keep:
                rows[spot] = row_of(figure, tolerance, asked.reason)
                moved.append(spot)
            elif row is not None:
                rows[spot] = row
        else:
            rows[spot] = _kept(row, figure, tolerance)
    cards = {**(old.cards if old else {}), **figures.software}
    cells: dict[str, dict[str, CardBudget]] = {}
    for spot, row in rows.items():
        cells.setdefault(spot.path, {})[spot.card] = row
    held = {card for _, card in rows}
    return Budget(
        schema=SCHEMA, kind=figures.kind,
        cards={card: dict(named) for card, named in cards.items() if card in held},
        tolerance=tolerance, history=old.history if old else [], cells=cells,
    ), moved  # fmt: skip


def _kept(row: CardBudget, figure: Figure, tolerance: Mapping[str, float]) -> CardBudget:
    """Return the row as it is; one of schema 1, or without a metric that is held now, anew."""
    new = row_of(figure, tolerance, row.reason)
    whole = row.key and row.figure().sizes.keys() == new.figure().sizes.keys()
    return row if whole else new


def is_still(before: Figure, now: Figure, tolerance: Mapping[str, float]) -> bool:
    """Tell whether a budget is as good as what it would be now."""
    if before.key and before.key != now.key:
        return False
    for metric, share in tolerance.items():
        old, new = before.value(metric), now.value(metric)
        if old is not None and new is not None and abs(new - old) > STILL * share * old:
            return False
    return _same_time(before.step, now.step, tolerance)


def _same_time(
    before: StepBudget | None, now: StepBudget | None, tolerance: Mapping[str, float]
) -> bool:
    if before is None or now is None:
        return before is now
    return abs(now.seconds / before.seconds - 1) <= STILL * max(before.bar, now.bar)
