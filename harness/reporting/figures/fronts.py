"""Scores against peak memory, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.reporting.figures.labels import label_points
from harness.reporting.figures.theme import THEMES, WIDTH, Look, Mode, Theme, looks
from harness.reporting.figures.words import shown, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

NAMED = 14  # so many points have their names beside them in any case
MOST = 2 * NAMED  # methods in a legend
COLUMNS = 3  # of small panels
MARGINS = (0.08, 0.1)  # of the data's width and height
Line = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A method's score and peak.

    Attributes:
        score: mean over seeds, as it is drawn; `spread` is its sample standard deviation.
        peak: bytes; `least`: the smallest peak of a seed.
    """

    method: str
    score: float
    spread: float | None
    peak: int
    least: int


@dataclass(frozen=True)
class Panel:
    """Points that compare.

    Attributes:
        title: above the panel, where there are several.
        score: what the score is, with its unit.
        lowest: less of it is better.
    """

    title: str
    score: str
    points: Sequence[Point]
    lowest: bool = False

    @property
    def front(self) -> list[Point]:
        """The points that no other one beats in score and memory, by memory."""
        found: list[Point] = []
        sign = -1 if self.lowest else 1
        for point in sorted(self.points, key=lambda p: (p.peak, -sign * p.score)):
            if not found or sign * point.score > sign * found[-1].score:
                found.append(point)
        return found

    def standing_out(self, baseline: str | None) -> list[Point]:
        """Return the baseline, the worst score, the largest peak, and the front."""
        sign = -1 if self.lowest else 1
        worst = min(self.points, key=lambda p: sign * p.score)
        largest = max(self.points, key=lambda p: p.peak)
        base = [point for point in self.points if point.method == baseline]
        return list(dict.fromkeys([*base, worst, largest, *self.front]))


def one_panel(
    panel: Panel, methods: Sequence[str], mode: Mode, baseline: str | None = None
) -> Drawing:
    """Draw one panel at full width, with names beside the points: of many, as many as fit.

    Args:
        panel: with at least one point.
        methods: all of the report, for their colours.
        mode: of the page.
        baseline: a method that has its name whatever the others have.
    """
    from matplotlib.figure import Figure as Drawing

    theme, unit = THEMES[mode], _unit(panel)
    drawing = Drawing(figsize=(WIDTH, 4.6))
    axes = drawing.add_subplot()
    axes.set_xlabel(f"peak memory ({unit[1]})")
    axes.set_ylabel(panel.score)
    drawing.legend(handles=[_line("Pareto front", theme)], loc="outside upper left")
    points = [(p.peak / unit[0], p.score) for p in panel.points]
    lines = _lines(panel, unit[0])
    # Names need the limits, and points need to know which of them have a name.
    axes.update_datalim([*points, *(end for line in lines for end in line)])
    axes.margins(*MARGINS)
    out = panel.standing_out(baseline)
    names = [(p.peak / unit[0], p.score, p.method) for p in dict.fromkeys([*out, *panel.points])]
    certain = len(out) if len(names) > NAMED else NAMED
    named = label_points(axes, names, points, lines, theme, certain)
    _draw(axes, panel, _looks(methods, named, mode), theme, baseline)
    return drawing


def _lines(panel: Panel, unit: int) -> list[Line]:
    """Return the lines of the front, and the error bars."""
    front = [(p.peak / unit, p.score) for p in panel.front]
    steps = [part for one, other in pairwise(front) for part in _step(one, other)]
    spreads = [
        ((p.peak / unit, p.score - p.spread), (p.peak / unit, p.score + p.spread))
        for p in panel.points
        if p.spread
    ]
    ranges = [
        ((p.least / unit, p.score), (p.peak / unit, p.score))
        for p in panel.points
        if p.least < p.peak
    ]
    return steps + spreads + ranges


def _step(one: tuple[float, float], other: tuple[float, float]) -> tuple[Line, Line]:
    corner = (other[0], one[1])
    return (one, corner), (corner, other)


def panels(
    all_panels: Sequence[Panel], methods: Sequence[str], mode: Mode, baseline: str | None = None
) -> Drawing:
    """Draw small panels with one legend: of all methods; if they are many, of what stands out."""
    from matplotlib.figure import Figure as Drawing

    drawn = {p.method for panel in all_panels for p in panel.points}
    out = {p.method for panel in all_panels for p in panel.standing_out(baseline)}
    named = drawn if len(drawn) <= MOST else out
    theme, look = THEMES[mode], _looks(methods, named, mode)
    legend = [method for method in methods if method in named]
    columns = min(COLUMNS, len(all_panels))
    rows = math.ceil(len(all_panels) / columns)
    lines = math.ceil(len(legend) / COLUMNS)
    drawing = Drawing(figsize=(WIDTH, 2.3 * rows + 0.2 * lines + 0.3))
    grid = drawing.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, all_panels, strict=False):
        _draw(axes, panel, look, theme, baseline, small=True)
        axes.set_title(shown(panel.title, 30))
        axes.set_ylabel(shown(panel.score, 24), size=9)
        axes.set_xlabel(f"peak ({_unit(panel)[1]})", size=9)
    for axes in list(grid.flat)[len(all_panels) :]:
        axes.remove()
    handles = [_handle(shown(name, 30), look[name]) for name in legend]
    handles.append(_line("Pareto front", theme))
    drawing.legend(
        handles=handles, loc="outside lower left", ncols=COLUMNS if len(handles) > 4 else 4
    )
    return drawing


def _looks(methods: Sequence[str], named: Set[str], mode: Mode) -> dict[str, Look]:
    """Return how methods look; those that no one names stand back."""
    found = looks(methods, mode)
    back = Look(THEMES[mode].muted, "o")
    return {name: look if name in named else back for name, look in found.items()}


def _unit(panel: Panel) -> tuple[int, str]:
    return unit_of(max(p.peak for p in panel.points))


def _draw(
    axes: Axes,
    panel: Panel,
    look: Mapping[str, Look],
    theme: Theme,
    baseline: str | None,
    small: bool = False,
) -> None:
    """Draw points and front; nothing hides the baseline, and what stands back hides nothing."""
    import numpy as np

    unit = _unit(panel)
    alike: dict[Look, list[Point]] = {}
    for point in panel.points:
        alike.setdefault(look[point.method], []).append(point)
    for own, points in alike.items():
        above = 2.5 if own.color == theme.muted else 3 + (points[0].method == baseline) / 2
        spreads = [p.spread or np.nan for p in points]  # without caps around nothing
        ranges = [((p.peak - p.least) / unit[0] or np.nan, 0) for p in points]
        axes.errorbar(
            [p.peak / unit[0] for p in points], [p.score for p in points], yerr=spreads,
            xerr=np.transpose(ranges), color=own.color, marker=own.marker, linestyle="",
            markersize=own.size(5 if small else 7), markeredgecolor=theme.background,
            markeredgewidth=0.6, elinewidth=1, capsize=2, zorder=above,
        )  # fmt: skip
    front = panel.front
    axes.plot(
        [p.peak / unit[0] for p in front], [p.score for p in front], drawstyle="steps-post",
        color=theme.good, linewidth=1.2, linestyle=(0, (5, 2)), zorder=2, label="Pareto front",
    )  # fmt: skip
    axes.margins(*MARGINS)
    if small:
        axes.locator_params(nbins=4)


def _handle(name: str, look: Look) -> object:
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        color=look.color,
        marker=look.marker,
        markersize=look.size(6),
        linestyle="",
        label=name,
    )


def _line(name: str, theme: Theme) -> object:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=theme.good, linestyle=(0, (5, 2)), linewidth=1.2, label=name)
