"""One adapter at a time: score and memory by the layer that has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reporting.figures.labels import annotation
from harness.reporting.figures.theme import THEMES, WIDTH, Mode, Theme
from harness.reporting.figures.words import shown, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class ByLayer:
    """What one row of the comparison comes to.

    Attributes:
        layer: that alone has an adapter; None: all have, which is drawn as a line.
        name: of the method.
        score: mean over seeds; `spread` its standard deviation, `values` each run's.
        peak: bytes.
    """

    layer: int | None
    name: str
    score: float | None
    spread: float | None
    values: Sequence[float]
    peak: int | None


def one_at_a_time(found: Sequence[ByLayer], metric: str, percent: bool, mode: Mode) -> Drawing:
    """Draw scores above and peaks below, the lowest layer to the left.

    Args:
        found: at least two layers.
        metric: what the score is.
        percent: whether it is a fraction, to be shown in per cent.
        mode: of the page.
    """
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    drawing = Drawing(figsize=(WIDTH, 5.2))
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    single = sorted((b for b in found if b.layer is not None), key=lambda b: b.layer or 0)
    color, factor = theme.methods[0], 100 if percent else 1
    for each in single:
        if each.score is None:
            continue
        upper.errorbar(each.layer, factor * each.score, yerr=factor * (each.spread or 0), fmt="o",
                       color=color, markersize=7, capsize=4)  # fmt: skip
        for value in each.values if len(each.values) > 1 else ():
            upper.plot(each.layer, factor * value, "_", color=theme.muted, markersize=8)
    unit, name = unit_of(max(each.peak or 0 for each in found))
    lower.bar([b.layer for b in single], [(b.peak or 0) / unit for b in single], 0.66,
              color=theme.category("activations"))  # fmt: skip
    for each in found:
        if each.layer is None:
            _line(upper, None if each.score is None else factor * each.score, each.name, theme)
            _line(lower, None if each.peak is None else each.peak / unit, each.name, theme)
    upper.set_ylabel(f"{shown(metric, 24)}{', %' if percent else ''}")
    lower.set_ylabel(f"peak memory ({name})")
    lower.set_xlabel("the layer that has the adapter, the lowest first")
    lower.set_xticks([b.layer for b in single])
    lower.margins(y=0.18)
    for axes in (upper, lower):
        axes.grid(visible=False, axis="x")
    return drawing


def _line(axes: Axes, value: float | None, name: str, theme: Theme) -> None:
    if value is None:
        return
    axes.axhline(value, color=theme.text, linewidth=1, linestyle=(0, (4, 3)))
    right = axes.get_xlim()[1]
    note = annotation(axes, f"{shown(name, 24)}: {value:.1f}", (right, value), theme)
    note.set(position=(-4, 3), ha="right", va="bottom")
