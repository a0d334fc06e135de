"""Maps of freezing: which layers train until when, and which projections froze in which step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.reporting.figures.froze import Froze
from harness.reporting.figures.theme import THEMES, WIDTH, Mode
from harness.reporting.figures.words import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLUMNS = 3
TITLE = 84  # characters above all panels of a line
TICKS = 12  # labels of layers along an axis
NUMBERS = 14  # columns that leave room for numbers


def layers_over_time(maps: Sequence[Froze], mode: Mode) -> Drawing:
    """Draw for each method which share of each layer's tensors trains in which step."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    colors = LinearSegmentedColormap.from_list(
        "training", [theme.grid, theme.category("activations")]
    )
    columns = 2 if len(maps) in (2, 4) else min(COLUMNS, len(maps))
    rows = math.ceil(len(maps) / columns)
    deepest = max(len(each.layers) for each in maps)
    drawing = Drawing(figsize=(WIDTH, 0.4 + rows * (0.8 + min(2.6, max(1.1, 0.16 * deepest)))))
    grid = drawing.subplots(rows, columns, squeeze=False)
    mesh = None
    for axes, each in zip(grid.flat, maps, strict=False):
        edges = each.changes
        shares = [[each.training(layer, step) for step in edges[:-1]] for layer in each.layers]
        rims = [place - 0.5 for place in range(len(each.layers) + 1)]
        mesh = axes.pcolormesh(edges, rims, shares, cmap=colors, vmin=0, vmax=1)
        for rim in rims[1:-1]:
            axes.axhline(rim, color=theme.background, linewidth=0.8)
        axes.set_title(shown(each.title, TITLE // columns))
        _name_layers(axes.yaxis, each.layers)
        axes.grid(visible=False)
        axes.locator_params(axis="x", nbins=5, integer=True)
        axes.tick_params(labelsize=8)
    for axes in list(grid.flat)[len(maps) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("layer")
    for place, axes in enumerate(grid.flat[: len(maps)]):
        if place + columns >= len(maps):
            axes.set_xlabel("optimizer step")
    assert mesh is not None
    bar = drawing.colorbar(
        mesh, ax=grid, aspect=16, pad=0.015, ticks=[0, 0.5, 1], shrink=1 / rows, anchor=(0, 1)
    )
    bar.set_label("share that trains", size=9)
    bar.outline.set_visible(False)
    return drawing


def projections(each: Froze, mode: Mode) -> Drawing:
    """Draw in which step every projection froze: kinds in rows, layers in columns."""
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    kinds, layers = each.kinds, each.layers
    drawing = Drawing(figsize=(WIDTH, 1.2 + 0.3 * len(kinds)))
    axes = drawing.add_subplot()
    steps = [[each.step(layer, kind) for layer in layers] for kind in kinds]
    known = [step for row in steps for step in row if step is not None]
    scale = Normalize(min(known), max(max(known), min(known) + 1))
    values = [[math.nan if step is None else step for step in row] for row in steps]
    mesh = axes.pcolormesh(
        values, norm=scale, cmap="viridis", edgecolors=theme.background, linewidth=1.2
    )
    if len(layers) <= NUMBERS:
        for row, line in enumerate(steps):
            for column, step in enumerate(line):
                dark = step is not None and scale(step) < 0.6
                axes.text(
                    column + 0.5, row + 0.5, "–" if step is None else f"{step:.0f}",
                    ha="center", va="center", size=8.5,
                    color=theme.muted if step is None else "white" if dark else "black",
                )  # fmt: skip
    axes.set_ylim(len(kinds), 0)
    axes.set_yticks([row + 0.5 for row in range(len(kinds))], [shown(kind, 34) for kind in kinds])
    _name_layers(axes.xaxis, layers, 0.5)
    axes.set_xlabel("layer")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = drawing.colorbar(mesh, ax=axes, aspect=16, pad=0.015)
    bar.set_label("step in which it froze", size=9)
    bar.outline.set_visible(False)
    return drawing


def _name_layers(axis: object, layers: Sequence[str], middle: float = 0.0) -> None:
    """Name some of the layers, evenly."""
    every = math.ceil(len(layers) / TICKS)
    names = _numbers(layers)
    places = range(0, len(layers), every)
    axis.set_ticks([p + middle for p in places], [names[p] for p in places])  # type: ignore[attr-defined]


def _numbers(layers: Sequence[str]) -> list[str]:
    """Return each layer's number, with what tells its stack from others: `decoder.3`."""
    parts = [layer.split(".") for layer in layers]
    depth = min(map(len, parts))
    differ = [i for i in range(depth - 1) if len({path[i] for path in parts}) > 1]
    whole = len({len(path) for path in parts}) > 1
    names = [path if whole else [path[i] for i in (*differ, -1)] for path in parts]
    return [shown(".".join(name) or "-", 16) for name in names]
