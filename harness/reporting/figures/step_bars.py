"""Forecast step times as bars, one figure per card."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.reporting.figures.figure import Figure
from harness.reporting.figures.labels import annotation
from harness.reporting.figures.theme import THEMES, WIDTH, Mode
from harness.reporting.figures.words import shown
from harness.reporting.step_times import TimeRow, relative, step_text, step_time_tables
from harness.timing.bar import rule
from harness.units import ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from harness.forecasting.result import Forecast

PARTS = ("forward", "backward", "optimizer")
MOST = 60  # bars of one figure
HOST = "the host's work"


def step_figures(forecasts: Sequence[Forecast]) -> list[Figure]:
    """Return a figure per card with a datasheet; of very many cells the first ones are shown."""
    found = []
    for table in step_time_tables(forecasts):
        rows = list(table.rows)[:MOST]
        gpu = rows[0].entry.gpu
        cut = f" The first {MOST} of {len(table.rows)} rows." if len(table.rows) > MOST else ""
        base = rows[0].base.method if rows[0].base else "nothing"
        found.append(Figure(
            f"step-time-{gpu.replace(':', '-')}",
            table.title,
            "Forecast from the card's datasheet, with no GPU; a mean step of each cell, behind it "
            f"the ratio to {base} and ms; whiskers: how far it may be off. Where the host's work "
            f"is as long as the step, the host binds. {rule()}{cut}",
            partial(step_bars, rows),
        ))  # fmt: skip
    return found


def step_bars(rows: Sequence[TimeRow], mode: Mode) -> Drawing:
    """Draw at least one row's step, by its parts, from above downwards."""
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    drawing = Drawing(figsize=(WIDTH, 1.3 + 0.28 * len(rows)))
    axes = drawing.add_subplot()
    places, ends = range(len(rows)), [0.0] * len(rows)
    for name, color in zip(PARTS, theme.methods, strict=False):
        widths = [1000 * (row.step.parts.get(name, 0.0) if row.step else 0.0) for row in rows]
        axes.barh(places, widths, 0.72, left=ends, color=color, label=name, linewidth=0)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    far = max(_mark(axes, row, place, mode) for place, row in enumerate(rows))
    axes.plot([], [], "|", color=theme.text, markersize=13, markeredgewidth=1.6, label=HOST)
    axes.set_xlim(0, 1.35 * far)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(places, [shown(row.name) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("step time (ms)")
    drawing.legend(loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.2)
    return drawing


def _mark(axes: Axes, row: TimeRow, place: int, mode: Mode) -> float:
    """Mark the host's work, the error bar and the figures; return how far they reach, in ms."""
    theme, step = THEMES[mode], row.step
    if step is None:
        return 0.0
    end, host = 1000 * step.seconds, 1000 * step.host
    axes.plot([host], [place], "|", color=theme.text, markersize=13, markeredgewidth=1.6)
    reach = end
    if not step.at_least:
        low, reach = (end * (1 + sign * step.bar.absolute) for sign in (-1, 1))
        axes.plot([low, reach], [place, place], color=theme.muted, linewidth=1.2)
    far = max(reach, host)
    words = f"{ratio(relative(row))};  {step_text(row.entry)}"
    note = annotation(axes, words, (far, place), theme)
    note.set(position=(5, 0), ha="left", va="center_baseline")
    return far
