"""How flat the minima are that methods end in: eigenvalues of the Hessian, and the loss around."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from harness.reporting.figures.theme import THEMES, WIDTH, Mode, looks
from harness.reporting.figures.words import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLUMNS = 3
LEVELS = 10
APART = 0.16  # of the distance between two eigenvalues, from method to method


def eigenvalues(spectra: Mapping[str, Sequence[Sequence[float]]], mode: Mode) -> Drawing:
    """Draw each method's largest eigenvalues: a point a run, a stroke at the mean over runs.

    Args:
        spectra: method -> runs -> eigenvalues, the largest first.
        mode: of the page.
    """
    from matplotlib.figure import Figure as Drawing

    theme, look = THEMES[mode], looks(spectra, mode)
    drawing = Drawing(figsize=(WIDTH, 3.6))
    axes = drawing.add_subplot()
    width = APART if len(spectra) < 5 else 0.7 / len(spectra)
    for place, (method, runs) in enumerate(spectra.items()):
        shift = (place - (len(spectra) - 1) / 2) * width
        count = min(map(len, runs))
        color = look[method].color
        for rank in range(count):
            found = [run[rank] for run in runs]
            at = rank + 1 + shift
            axes.plot([at] * len(found), found, look[method].marker, color=color, alpha=0.75,
                      markersize=look[method].size(5), markeredgewidth=0,
                      label=shown(method) if rank == 0 else None)  # fmt: skip
            middle = mean(found)
            axes.plot([at - 0.42 * width, at + 0.42 * width], [middle] * 2, color=color,
                      linewidth=2)  # fmt: skip
    axes.axhline(0, color=theme.muted, linewidth=0.8)
    axes.set_xticks(range(1, 1 + max(len(run) for runs in spectra.values() for run in runs)))
    axes.set_xlabel("eigenvalue, the largest first")
    axes.set_ylabel("eigenvalue of the Hessian")
    axes.grid(visible=False, axis="x")
    drawing.legend(loc="outside upper left", ncols=4)
    return drawing


@dataclass(frozen=True)
class Plane:
    """The loss around one run's end: rows are the second direction, columns the first."""

    title: str
    axis: Sequence[float]
    losses: Sequence[Sequence[float]]


def planes(found: Sequence[Plane], mode: Mode) -> Drawing:
    """Draw contours of the loss, on one logarithmic scale for all of them."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    side = min(4.2, (WIDTH - 1.6) / columns)  # of a panel, which is a square
    drawing = Drawing(figsize=(WIDTH, 0.5 + rows * (side + 0.4)))
    grid = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    every = [loss for each in found for row in each.losses for loss in row if loss > 0]
    low, high = min(every), max(max(every), 1.001 * min(every))
    levels = [low * (high / low) ** (i / LEVELS) for i in range(LEVELS + 1)]
    levels[-1] *= 1 + 1e-9
    mesh = None
    for axes, each in zip(grid.flat, found, strict=False):
        mesh = axes.contourf(
            each.axis, each.axis, each.losses, levels=levels, cmap="viridis",
            norm=LogNorm(low, high),
        )  # fmt: skip
        axes.contour(each.axis, each.axis, each.losses, levels=levels[1:-1],
                     colors=[theme.background], linewidths=0.5)  # fmt: skip
        axes.plot(0, 0, "+", color=theme.bad, markersize=9, markeredgewidth=2)
        axes.set_title(shown(each.title, 30))
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=5)
    for axes in list(grid.flat)[len(found) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("along the second direction")
    for place, axes in enumerate(grid.flat[: len(found)]):
        if place + columns >= len(found):
            axes.set_xlabel("along the first direction")
    assert mesh is not None
    bar = drawing.colorbar(mesh, ax=grid, aspect=24, pad=0.015, format=lambda v, _: f"{v:.3g}")
    bar.set_label("training loss (log)", size=9)
    bar.outline.set_visible(False)
    return drawing
