"""Scores and step times of two sides, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from harness.comparing.moves import CellMove, Comparison
from harness.comparing.sides import Figures
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.forecasts import without_common_parts
from harness.units import is_fraction, ratio, score


@dataclass(frozen=True)
class ScoreRow:
    """The seeds of one task, model and method.

    Attributes:
        metric: the main one; None where the sides differ in it.
        before, after: its values, seed by seed.
        times: step time after over before, seed by seed.
    """

    name: str
    metric: str | None
    before: Sequence[float]
    after: Sequence[float]
    times: Sequence[float]

    @property
    def moved(self) -> float | None:
        """Difference of the means."""
        return mean(self.after) - mean(self.before) if self.before and self.after else None

    @property
    def time(self) -> float | None:
        """Median ratio of step times, after over before."""
        return median(self.times) if self.times else None


def score_table(comparison: Comparison) -> Table[ScoreRow]:
    """Return a row per task, model and method that has scores or times on both sides."""
    rows = score_rows(comparison)
    columns: list[Column[ScoreRow]] = [
        words("cells, seeds together", lambda row: row.name),
        words("metric", lambda row: row.metric),
        words("before", lambda row: _spread(row, row.before)),
        words("after", lambda row: _spread(row, row.after)),
        Column("moved", lambda row: row, _points, {"moved": lambda row: row.moved}),
        number("step time, after / before", lambda row: row.time, ratio, "step time (ratio)"),
    ]
    return Table("Scores and time", columns, rows)


def score_rows(comparison: Comparison) -> list[ScoreRow]:
    """Return the rows; none for forecasts."""
    groups: dict[str, list[CellMove]] = {}
    for move in comparison.moves:
        groups.setdefault(move.path.rpartition("/")[0], []).append(move)
    names, _ = without_common_parts(groups)
    rows = [_row(names[name], moves) for name, moves in groups.items()]
    return [row for row in rows if row.before or row.times]


def _row(name: str, moves: Sequence[CellMove]) -> ScoreRow:
    metrics = {side.metric for move in moves for side in (move.before, move.after)}
    one = metrics.pop() if len(metrics) == 1 else None
    return ScoreRow(
        name,
        one,
        _values(moves, lambda move: move.before) if one else (),
        _values(moves, lambda move: move.after) if one else (),
        [
            move.after.step_seconds / move.before.step_seconds
            for move in moves
            if move.before.step_seconds and move.after.step_seconds
        ],
    )


def _values(moves: Sequence[CellMove], side: Callable[[CellMove], Figures]) -> list[float]:
    """Return one side's scores of the seeds that both sides have a score of."""
    both = [m for m in moves if m.before.score is not None and m.after.score is not None]
    return [value for value in (side(move).score for move in both) if value is not None]


def _spread(row: ScoreRow, values: Sequence[float]) -> str:
    if not values:
        return "-"
    text = score(mean(values), row.metric)
    return f"{text} ± {score(stdev(values), row.metric)}" if len(values) > 1 else text


def _points(row: ScoreRow) -> str:
    if row.moved is None:
        return "-"
    points = 100 * row.moved if is_fraction(row.metric) else row.moved
    return f"{points:+.2f}" if points else "0"
