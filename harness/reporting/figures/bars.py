"""Stacked bars of memory, one per method, with the lines of cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.reporting.figures.labels import annotation
from harness.reporting.figures.theme import THEMES, WIDTH, Mode, Theme
from harness.reporting.figures.words import amount, shown, unit_of
from harness.units import GIB

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# What cards are sold with, as in SAFE's Fig. 1b; a process can use less.
CARDS = {f"{size} GiB": size * GIB for size in (16, 24, 48, 80)}
NEAR = 1.35  # times the largest bar: a line further away would only press the bars together
FORECAST = "forecast"
VISIBLE = 0.004  # of the largest bar: less than a pixel or two


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: free text beside it.
        parts: bytes by category of the theme, from the left.
        total: bytes; what it has beyond its parts is drawn as not split. None: there is no bar.
        forecast: bytes; None: there is none.
        failed: how it ended where it did not end well.
    """

    label: str
    parts: Mapping[str, int] = field(default_factory=dict)
    total: int | None = None
    forecast: int | None = None
    failed: str = ""

    @property
    def rest(self) -> int:
        """Bytes that are in no part."""
        return max(0, (self.total or 0) - sum(self.parts.values()))


def stacked(
    bars: Sequence[Bar],
    axis: str,
    mode: Mode,
    cards: Mapping[str, int] = CARDS,
    rest: str = "not split",
) -> Drawing:
    """Draw the bars from above downwards.

    Args:
        bars: at least one.
        axis: what the bytes are; their unit is put behind it.
        mode: of the page.
        cards: lines, by name; drawn where they are near the data.
        rest: what totals have beyond their parts.
    """
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    drawing = Drawing(figsize=(WIDTH, 1.3 + 0.28 * len(bars)))
    axes = drawing.add_subplot()
    largest = max(max(bar.total or 0, bar.forecast or 0) for bar in bars) or 1
    unit, name = unit_of(largest)
    _draw_parts(axes, bars, unit, largest, theme, rest)
    _draw_marks(axes, bars, unit, largest, theme)
    near = {card: size for card, size in cards.items() if size <= NEAR * largest}
    for card, size in near.items():
        axes.axvline(size / unit, color=theme.muted, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            card, (size / unit, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", size=8, color=theme.muted,
        )  # fmt: skip
    axes.set_xlim(0, max(1.14 * largest, 1.04 * max(near.values(), default=0)) / unit)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_yticks(range(len(bars)), [shown(bar.label) for bar in bars])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{axis} ({name})")
    found = zip(*axes.get_legend_handles_labels(), strict=True)
    entries = sorted(found, key=lambda entry: entry[1] == FORECAST)  # otherwise it comes first
    drawing.legend(
        [handle for handle, _ in entries], [label for _, label in entries],
        loc="outside upper left", ncols=7, columnspacing=1.2, handlelength=1.2,
    )  # fmt: skip
    return drawing


def _draw_parts(
    axes: Axes, bars: Sequence[Bar], unit: int, largest: int, theme: Theme, rest: str
) -> None:
    places = range(len(bars))
    ends = [0.0] * len(bars)
    pieces = {name: [bar.parts.get(name, 0) for bar in bars] for name in _order(bars)}
    pieces[rest] = [bar.rest for bar in bars]
    for name, sizes in pieces.items():
        if max(sizes) < VISIBLE * largest:
            continue
        color = theme.grid if name == rest else theme.category(name)
        widths = [size / unit for size in sizes]
        axes.barh(places, widths, 0.72, left=ends, color=color, label=name, linewidth=0.6)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]


def _order(bars: Sequence[Bar]) -> list[str]:
    return list(dict.fromkeys(name for bar in bars for name in bar.parts))


def _draw_marks(axes: Axes, bars: Sequence[Bar], unit: int, largest: int, theme: Theme) -> None:
    """Write totals and failures, and mark the forecasts."""
    foreseen = [(bar.forecast / unit, i) for i, bar in enumerate(bars) if bar.forecast]
    if foreseen:
        xs, ys = zip(*foreseen, strict=True)
        axes.plot(xs, ys, "|", color=theme.text, markersize=13, markeredgewidth=1.6, label=FORECAST)
    for place, bar in enumerate(bars):
        end = max(bar.total or 0, bar.forecast or 0) / unit
        words = amount(bar.total, unit) if bar.total else ""
        total = annotation(axes, words, (end, place), theme)
        total.set(position=(5, 0), ha="left", va="center_baseline")
        if bar.failed:
            axes.annotate(
                bar.failed, (1, 0.5), xycoords=total, xytext=(4 if words else 0, 0),
                textcoords="offset points", va="center", size=8.5, color=theme.bad, weight="bold",
                path_effects=total.get_path_effects(),
            )  # fmt: skip
