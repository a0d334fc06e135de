"""Forecast against measured: the diagonal, the errors and the share of under-estimates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.printed import one_line
from harness.reporting.figures.figure import Figure, Mode
from harness.reporting.figures.theme import MARKERS, THEMES, WIDTH, Theme
from harness.reporting.figures.words import conditions
from harness.units import GIB, MIB

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from harness.record import Record
    from harness.reporting.groups import Group

LEAST = 3  # points of a report's own figure
LEAST_LINEAR = 0.1  # per cent: around zero the axis of errors is linear, beyond logarithmic
WIDE = 4  # largest over smallest bytes, from where on axes of bytes are logarithmic
ALLOCATED = {"cuda": "peak allocated", "cpu-ledger": "peak allocated, CPU step"}
RESERVED = "peak reserved"


@dataclass(frozen=True)
class Point:
    """One figure that was both forecast and measured; bytes.

    Attributes:
        name: of the run.
        kind: what was measured, such as `peak allocated`: points of a kind look alike.
    """

    name: str
    forecast: int
    measured: int
    kind: str

    @property
    def error(self) -> float:
        """Forecast over measured minus 1; negative: an under-estimate."""
        return self.forecast / self.measured - 1


@dataclass(frozen=True)
class Accuracy:
    """What points say together; errors are fractions.

    Attributes:
        count: of points.
        median: of the absolute errors.
        worst: the point with the largest one.
        under: how many are under-estimates, by however little.
    """

    count: int
    median: float
    worst: Point
    under: int

    def __str__(self) -> str:
        worst = self.worst
        return (
            f"{self.count} of them: median error {_percent(self.median)}, the largest "
            f"{_percent(worst.error, sign=True)} ({one_line(worst.name)}); {self.under} "
            f"({100 * self.under / self.count:.0f} %) are under-estimates"
        )


def accuracy_of(points: Sequence[Point]) -> Accuracy:
    """Sum up at least one point."""
    return Accuracy(
        count=len(points),
        median=median(abs(point.error) for point in points),
        worst=max(points, key=lambda point: abs(point.error)),
        under=sum(point.error < 0 for point in points),
    )


def points_of(records: Iterable[Record]) -> list[Point]:
    """Return what records both foresaw and measured: peaks of training, over all stages."""
    points = []
    for record in records:
        if record.outcome != "ok" or not record.memory:
            continue
        if record.forecast is None or not record.forecast.stages:
            continue
        memory, stages = record.memory, list(record.forecast.stages.values())
        allocated = max(stage.peak_allocated for stage in stages)
        reserved = max(stage.peak_reserved for stage in stages)
        kind = ALLOCATED[memory.meter]
        points.append(Point(record.path, allocated, memory.peak_training, kind))
        held = max((phase.peak_reserved or 0 for phase in memory.phases), default=0)
        if memory.meter == "cuda" and held and reserved:
            points.append(Point(record.path, reserved, held, RESERVED))
    return [point for point in points if point.measured and point.forecast]


def against_of(group: Group) -> list[Figure]:
    """Return the figure of a group's records, or none of fewer than three: tables say those."""
    points = points_of(group.records)
    if len(points) < LEAST:
        return []
    runs = {point.name for point in points}
    return against_figures(points, conditions([r for r in group.records if r.path in runs]))


def against_figures(
    points: Sequence[Point], caption: str, name: str = "forecast-against-measured"
) -> list[Figure]:
    """Return the figure, or none without points.

    Args:
        points: of one or several kinds.
        caption: where they come from: cards, versions.
        name: stem of its files.
    """
    if not points:
        return []
    kinds = _by_kind(points)
    said = "; ".join(f"{kind}, {accuracy_of(own)}" for kind, own in kinds.items())
    text = (
        "Left: each point a run, on the diagonal where the forecast (no weights, no GPU) is what "
        "was measured. Right: forecast over measured minus 1; the axis is linear near zero and "
        f"logarithmic beyond. {said}. {caption}"
    )

    def draw(mode: Mode) -> Drawing:
        return _drawn(kinds, mode)

    return [Figure(name, "Forecast against measured", text, draw)]


def _by_kind(points: Sequence[Point]) -> dict[str, list[Point]]:
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(point.kind, []).append(point)
    return kinds


def _drawn(kinds: dict[str, list[Point]], mode: Mode) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    drawing = Drawing(figsize=(WIDTH, 4.2))
    left, right = drawing.subplots(1, 2)
    points = [point for own in kinds.values() for point in own]
    unit, word = _unit(points)
    for number, (kind, own) in enumerate(kinds.items()):
        look: dict[str, Any] = {
            "color": theme.methods[number % len(theme.methods)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "", "markersize": 5, "alpha": 0.75, "markeredgewidth": 0,
        }  # fmt: skip
        measured = [point.measured / unit for point in own]
        left.plot(measured, [point.forecast / unit for point in own], **look,
                  label=f"{kind} ({len(own)})")  # fmt: skip
        right.plot(measured, [100 * point.error for point in own], **look)
    _draw_diagonal(left, points, unit, theme)
    left.set_xlabel(f"measured ({word})")
    left.set_ylabel(f"forecast ({word})")
    _draw_errors(right, points, unit, theme)
    right.set_xlabel(f"measured ({word})")
    right.set_ylabel("forecast over measured (%)")
    drawing.legend(loc="outside lower center", ncols=min(3, len(kinds)))
    return drawing


def _draw_diagonal(axes: Any, points: Sequence[Point], unit: int, theme: Theme) -> None:
    sizes = [size / unit for p in points for size in (p.measured, p.forecast)]
    ends = (min(sizes) / 1.2, max(sizes) * 1.2)
    axes.plot(ends, ends, color=theme.muted, linewidth=1, zorder=1)
    for axis in (axes.xaxis, axes.yaxis):
        _scale(axis, sizes)
    axes.set_xlim(ends)
    axes.set_ylim(ends)


def _scale(axis: Any, sizes: Sequence[float]) -> None:
    """Make an axis of bytes logarithmic where they differ much, with plain numbers on it."""
    from matplotlib.ticker import LogLocator, NullLocator

    if max(sizes) >= WIDE * min(sizes):
        (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}")


def _draw_errors(axes: Any, points: Sequence[Point], unit: int, theme: Theme) -> None:
    under = sum(point.error < 0 for point in points)
    largest = max(LEAST_LINEAR, *(100 * abs(point.error) for point in points))
    sizes = [point.measured / unit for point in points]
    _scale(axes.xaxis, sizes)
    axes.set_xlim(min(sizes) / 1.2, max(sizes) * 1.2)
    axes.set_yscale("symlog", linthresh=LEAST_LINEAR)
    axes.set_ylim(-3 * largest, 3 * largest)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    axes.axhline(0, color=theme.muted, linewidth=1, zorder=1)
    axes.axhspan(-3 * largest, 0, color=theme.bad, alpha=0.08, linewidth=0, zorder=0)
    axes.annotate(
        f"under-estimates: {under} of {len(points)} ({100 * under / len(points):.0f} %)",
        (0.02, 0.02), xycoords="axes fraction", fontsize=9,
    )  # fmt: skip


def _unit(points: Sequence[Point]) -> tuple[int, str]:
    return (GIB, "GiB") if median(p.measured for p in points) >= GIB / 2 else (MIB, "MiB")


def _percent(share: float, *, sign: bool = False) -> str:
    percent = 100 * share
    digits = f"{abs(percent):.2g}" if abs(percent) < 10 else f"{abs(percent):.0f}"
    mark = "-" if percent < 0 else "+" if sign and percent else ""
    return f"{mark}{digits} %"
