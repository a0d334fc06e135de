"""How far each layer is from its end over training: CKA against the final model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.reporting.figures.theme import THEMES, WIDTH, Mode
from harness.reporting.figures.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

COLUMNS = 3
NUMBERED = 8  # layers, in panels that leave room for numbers
MOST_NUMBERS = 7  # looks


@dataclass(frozen=True)
class Similarity:
    """One method's runs: means over seeds.

    Attributes:
        title: names them.
        steps: when it was looked, the last one at the end.
        cka: of each look, per layer, the lowest first.
        froze: layer -> mean step after which its adapter froze.
    """

    title: str
    steps: Sequence[int]
    cka: Sequence[Sequence[float]]
    froze: Mapping[int, float] = field(default_factory=dict)


def similarities(maps: Sequence[Similarity], mode: Mode) -> Drawing:
    """Draw a map per method, layers from below upwards, all in one scale of colours."""
    from matplotlib.figure import Figure as Drawing

    columns = min(COLUMNS, len(maps))
    rows = math.ceil(len(maps) / columns)
    deepest = max(len(each.cka[0]) for each in maps)
    height = min(4.0, max(1.5, 0.28 * deepest))
    drawing = Drawing(figsize=(WIDTH, 0.5 + rows * (0.8 + height)))
    grid = drawing.subplots(rows, columns, squeeze=False)
    lowest = min(value for each in maps for look in each.cka for value in look)
    mesh = None
    for axes, each in zip(grid.flat, maps, strict=False):
        values = [list(layer) for layer in zip(*each.cka, strict=True)]
        mesh = axes.pcolormesh(
            _edges(each.steps), range(len(values) + 1), values, cmap="viridis", vmin=lowest, vmax=1
        )
        _mark_frozen(axes, each, mode)
        axes.set_title(shown(each.title, 30))
        every = math.ceil(len(values) / 12)
        axes.set_yticks([i + 0.5 for i in range(0, len(values), every)],
                        [str(i) for i in range(0, len(values), every)])  # fmt: skip
        axes.set_xlabel("optimizer step")
        axes.grid(visible=False)
        axes.tick_params(labelsize=8)
    for axes in list(grid.flat)[len(maps) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("layer")
    assert mesh is not None
    bar = drawing.colorbar(mesh, ax=grid, aspect=24, pad=0.015)
    bar.set_label("CKA with the layer's final output", size=9)
    bar.outline.set_visible(False)
    return drawing


def _edges(steps: Sequence[int]) -> list[float]:
    """Return where the fields begin and end: a look stands in the middle of its own."""
    if len(steps) == 1:
        return [steps[0] - 0.5, steps[0] + 0.5]
    middles = [(a + b) / 2 for a, b in pairwise(steps)]
    first, last = middles[0] - steps[0], steps[-1] - middles[-1]
    return [steps[0] - first, *middles, steps[-1] + last]


def _mark_frozen(axes: Axes, each: Similarity, mode: Mode) -> None:
    """Draw a bar in the layer's row where its adapter froze, with a rim that any colour shows."""
    theme = THEMES[mode]
    for layer, step in each.froze.items():
        for color, width in ((theme.background, 5.0), (theme.bad, 2.5)):
            axes.plot([step, step], [layer + 0.1, layer + 0.9], color=color, linewidth=width,
                      solid_capstyle="butt")  # fmt: skip
