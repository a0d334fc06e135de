"""Time, FLOPs and parameters of methods, relative to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reporting.figures.labels import annotation
from harness.reporting.figures.theme import THEMES, WIDTH, Mode, looks
from harness.reporting.figures.words import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

WIDE = 40  # times: what spans more is drawn on a logarithmic axis


@dataclass(frozen=True)
class Cost:
    """What one thing costs with each method, as a ratio to the baseline; None: unknown."""

    title: str
    ratios: Sequence[float | None]


def costs(
    methods: Sequence[str],
    failed: Sequence[str],
    all_costs: Sequence[Cost],
    everyone: Sequence[str],
    mode: Mode,
) -> Drawing:
    """Draw a panel per cost with a bar per method.

    Args:
        methods: names, from above downwards.
        failed: how each one ended where it did not end well, else empty.
        all_costs: one ratio per method each.
        everyone: all methods of the report, for their colours.
        mode: of the page.
    """
    from matplotlib.figure import Figure as Drawing

    theme, look = THEMES[mode], looks(everyone, mode)
    drawing = Drawing(figsize=(WIDTH, 1.0 + 0.26 * len(methods)))
    grid = drawing.subplots(1, len(all_costs), sharey=True, squeeze=False)[0]
    colors = [look[name].color for name in methods]
    for axes, cost in zip(grid, all_costs, strict=True):
        known = [ratio for ratio in cost.ratios if ratio]
        wide = max(known) > WIDE * min(known)
        start = min(known) / 3 if wide else 0.0
        ends = [ratio or start for ratio in cost.ratios]
        if wide:  # the length of a bar would mean nothing
            axes.hlines(range(len(methods)), start, ends, colors, linewidth=1.5)
            axes.scatter(ends, range(len(methods)), [36 * (end > start) for end in ends], colors)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        else:
            axes.barh(range(len(methods)), ends, 0.7, color=colors)
        axes.set_xlim(start, max(known) * ((max(known) / start) ** 0.28 if wide else 1.28))
        axes.axvline(1, color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
        for place, ratio in enumerate(cost.ratios):
            words = _times(ratio) if ratio is not None else failed[place] or "-"
            note = annotation(axes, words, (ratio or start, place), theme)
            note.set(position=(7 if wide else 4, 0), ha="left", va="center_baseline")
            if ratio is None and failed[place]:
                note.set_color(theme.bad)
        axes.set_title(cost.title + (" (log)" if wide else ""))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.spines["left"].set_visible(False)
        if not wide:
            axes.locator_params(axis="x", nbins=4)
        axes.minorticks_off()
    grid[0].set_ylim(len(methods) - 0.4, -0.6)
    grid[0].set_yticks(range(len(methods)), [shown(name, 32) for name in methods])
    return drawing


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
