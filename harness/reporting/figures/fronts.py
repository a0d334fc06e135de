"""Scores against peak memory, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.reporting.figures.labels import label_points
from harness.reporting.figures.theme import THEMES, WIDTH, Look, Mode, Theme, looks
from harness.reporting.figures.words import shown, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

NAMED = 14  # points that have their name beside them; beyond it, those of the front
COLUMNS = 3  # of small panels
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


def one_panel(panel: Panel, mode: Mode) -> Drawing:
    """Draw one panel at full width, with names beside the points."""
    from matplotlib.figure import Figure as Drawing

    theme, look = THEMES[mode], looks((p.method for p in panel.points), mode)
    front = panel.front
    named = panel.points if len(panel.points) <= NAMED else front[:NAMED]
    if len(named) < len(panel.points):
        others = Look(theme.muted, "o")
        look = {name: others for name in look} | {p.method: look[p.method] for p in named}
    drawing = Drawing(figsize=(WIDTH, 4.6))
    axes = drawing.add_subplot()
    unit = _draw(axes, panel, look, theme)
    axes.set_xlabel(f"peak memory ({unit[1]})")
    axes.set_ylabel(panel.score)
    drawing.legend(handles=[_line("Pareto front", theme)], loc="outside upper left")
    names = [(p.peak / unit[0], p.score, p.method) for p in named]
    points = [(p.peak / unit[0], p.score) for p in panel.points]
    label_points(axes, names, points, _lines(panel, unit[0]), theme)
    return drawing


def _lines(panel: Panel, unit: int) -> list[Line]:
    """Return the lines of the front, and the error bars."""
    front = [(p.peak / unit, p.score) for p in panel.front]
    steps = [part for one, other in pairwise(front) for part in _step(one, other)]
    return steps + [
        ((p.peak / unit, p.score - p.spread), (p.peak / unit, p.score + p.spread))
        for p in panel.points
        if p.spread
    ]


def _step(one: tuple[float, float], other: tuple[float, float]) -> tuple[Line, Line]:
    corner = (other[0], one[1])
    return (one, corner), (corner, other)


def panels(all_panels: Sequence[Panel], mode: Mode) -> Drawing:
    """Draw small panels with one legend: of all methods; if they are many, of those on fronts."""
    from matplotlib.figure import Figure as Drawing

    methods = list(dict.fromkeys(p.method for panel in all_panels for p in panel.points))
    theme, look = THEMES[mode], looks(methods, mode)
    on_fronts = {p.method for panel in all_panels for p in panel.front}
    legend = methods if len(methods) <= 2 * NAMED else [m for m in methods if m in on_fronts]
    columns = min(COLUMNS, len(all_panels))
    rows = math.ceil(len(all_panels) / columns)
    lines = math.ceil(len(legend) / COLUMNS)
    drawing = Drawing(figsize=(WIDTH, 2.3 * rows + 0.2 * lines + 0.3))
    grid = drawing.subplots(rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, all_panels, strict=False):
        unit = _draw(axes, panel, {m: look[m] for m in methods}, theme, small=True)
        axes.set_title(shown(panel.title, 30))
        axes.set_ylabel(shown(panel.score, 24), size=9)
        axes.set_xlabel(f"peak ({unit[1]})", size=9)
    for axes in list(grid.flat)[len(all_panels) :]:
        axes.remove()
    handles = [_handle(shown(name, 30), look[name]) for name in legend]
    handles.append(_line("Pareto front", theme))
    drawing.legend(
        handles=handles, loc="outside lower left", ncols=COLUMNS if len(handles) > 4 else 4
    )
    return drawing


def _draw(
    axes: Axes, panel: Panel, look: Mapping[str, Look], theme: Theme, small: bool = False
) -> tuple[int, str]:
    """Draw points and front; returns the unit of memory."""
    import numpy as np

    unit = unit_of(max(p.peak for p in panel.points))
    for p in panel.points:
        x, own = p.peak / unit[0], look[p.method]
        axes.errorbar(
            x, p.score, yerr=p.spread or None, xerr=np.array([[p.peak - p.least], [0]]) / unit[0],
            color=own.color, marker=own.marker, markersize=own.size(5 if small else 7),
            markeredgecolor=theme.background, markeredgewidth=0.6, elinewidth=1, capsize=2,
            zorder=3,
        )  # fmt: skip
    front = panel.front
    axes.plot(
        [p.peak / unit[0] for p in front], [p.score for p in front], drawstyle="steps-post",
        color=theme.good, linewidth=1.2, linestyle=(0, (5, 2)), zorder=2, label="Pareto front",
    )  # fmt: skip
    axes.margins(0.08, 0.1)
    if small:
        axes.locator_params(nbins=4)
    return unit


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
