"""Memory against batch size and against length, one line per method, with the cards' lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from harness.reporting.figures.figure import Figure, Mode
from harness.reporting.figures.theme import THEMES, WIDTH, Theme, looks
from harness.reporting.figures.words import shown, unit_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

MOST_PANELS = 6
NEAR = 1.5  # times the largest value: a card's line beyond it would press the curves flat
BEYOND = 1.4  # times the largest card: what needs more runs off the top
ALIKE = 0.005  # lines that are no further apart would hide each other: they are one
LETTERS = 100  # of names, with their marks, on one line of the legend
# Lines on top of each other stay visible: a pattern for every method beside its colour.
DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True)
class Panel:
    """One task and model.

    Attributes:
        title: above it.
        curves: method -> value -> bytes.
    """

    title: str
    curves: Mapping[str, Mapping[int, int]]

    @property
    def top(self) -> int:
        """The largest of all bytes."""
        return max(max(curve.values(), default=0) for curve in self.curves.values())


def growth_figures(
    name: str, what: str, caption: str, panels: Sequence[Panel], cards: Mapping[str, int]
) -> list[Figure]:
    """Return the panels in figures of at most six.

    Args:
        name: stem of the files.
        what: the setting along the x axis, with its unit.
        caption: which memory, settings and versions.
        panels: with at least one value each.
        cards: bytes that the allocator may reserve, by name.
    """
    shown = [panel for panel in panels if panel.top]
    parts = [shown[i : i + MOST_PANELS] for i in range(0, len(shown), MOST_PANELS)]
    methods = [method for panel in shown for method in panel.curves]

    def drawer(part: Sequence[Panel]) -> Callable[[Mode], Drawing]:
        return lambda mode: _drawn(part, methods, what, cards, mode)

    return [
        Figure(
            name if number == 1 else f"{name}-{number}",
            f"Memory against {what}" + f", {number} of {len(parts)}" * (len(parts) > 1),
            caption,
            drawer(part),
        )
        for number, part in enumerate(parts, start=1)
    ]


def _drawn(
    panels: Sequence[Panel], methods: Sequence[str], what: str, cards: Mapping[str, int], mode: Mode
) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    theme, look = THEMES[mode], looks(methods, mode)
    labels = _together(panels, [name for name in look if any(name in p.curves for p in panels)])
    names = list(labels)
    columns = min(2, len(panels))
    rows = ceil(len(panels) / columns)
    across = max(1, min(len(names), LETTERS // (max(map(len, labels.values())) + 8)))
    height = (4 if rows == 1 else 2.8 * rows) + 0.2 * ceil(len(names) / across)
    drawing = Drawing(figsize=(WIDTH, height))
    lines: dict[str, Any] = {}
    for number, panel in enumerate(panels, start=1):
        axes = drawing.add_subplot(rows, columns, number)
        unit, word = unit_of(panel.top)
        for place, name in enumerate(names):
            points = sorted(panel.curves.get(name, {}).items())
            lines[name] = axes.plot(
                [value for value, _ in points], [size / unit for _, size in points],
                color=look[name].color, marker=look[name].marker, markersize=5,
                linewidth=1.6, linestyle=DASHES[place % len(DASHES)],
            )[0]  # fmt: skip
        axes.set_title(shown(panel.title, 96 // columns))
        axes.set_xlim(left=0)
        axes.set_xlabel(what)
        axes.set_ylabel(f"reserved memory ({word})")
        _draw_cards(axes, panel.top, unit, cards, theme)
    drawing.legend(
        list(lines.values()), list(labels.values()), loc="outside lower center", ncols=across,
        handlelength=3,
    )  # fmt: skip
    return drawing


def _together(panels: Sequence[Panel], names: Sequence[str]) -> dict[str, str]:
    """Return the methods that get a line, with what it is called: those on top of it, too."""
    found: dict[str, list[str]] = {}
    for name in names:
        like = next((other for other in found if _is_alike(panels, name, other)), name)
        found.setdefault(like, []).append(name)
    return {first: shown(", ".join(alike), LETTERS - 10) for first, alike in found.items()}


def _is_alike(panels: Sequence[Panel], one: str, other: str) -> bool:
    """Tell whether two methods have the same values and nearly the same bytes in every panel."""
    for panel in panels:
        ours, theirs = panel.curves.get(one, {}), panel.curves.get(other, {})
        if ours.keys() != theirs.keys():
            return False
        if any(abs(ours[value] / theirs[value] - 1) > ALIKE for value in ours):
            return False
    return True


def _draw_cards(axes: Any, top: int, unit: int, cards: Mapping[str, int], theme: Theme) -> None:
    """Draw the lines of cards that are near the data, and end the axis where cards do."""
    largest = max(cards.values())
    axes.set_ylim(0, 1.08 * min(top, BEYOND * largest) / unit)
    near = {name: size for name, size in cards.items() if size <= NEAR * top}
    behind = {"facecolor": theme.background, "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
    for name, size in near.items():
        axes.axhline(size / unit, color=theme.muted, linewidth=1, linestyle=(0, (1, 1)))
        axes.annotate(name, (0, size / unit), xycoords=("axes fraction", "data"), ha="left",
                      va="bottom", fontsize=8, color=theme.muted, xytext=(4, 2),
                      textcoords="offset points", bbox=behind)  # fmt: skip
    if near:
        axes.set_ylim(top=max(axes.get_ylim()[1], 1.08 * max(near.values()) / unit))
