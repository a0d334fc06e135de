"""Names beside points, put where they cover least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.reporting.figures.theme import Theme
from harness.reporting.figures.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

# Where a name may stand: direction, and points (1/72 inch) from its point.
SIDES = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
DISTANCES = (7, 15, 25, 36)
MARK = 5  # points: half of a marker
LINE = 1.5  # points: half of a line, with a little room
LONGEST = 32  # characters
Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels
At = tuple[float, float]


def label_points(
    axes: Axes,
    names: Sequence[tuple[float, float, str]],
    points: Sequence[At],
    lines: Sequence[tuple[At, At]],
    theme: Theme,
    most: int | None = None,
) -> set[str]:
    """Write names beside their points, and a line to those that had to go further away.

    Args:
        axes: its limits do not change any more.
        names: x and y of a point, and its name.
        points: all that names should not cover.
        lines: horizontal and vertical ones that names should not cover, from and to.
        theme: of the page.
        most: so many names, from the first, are written in any case, the others only where they
            cover no name and no point. None: all.

    Returns:
        The names that are written.
    """
    drawing = axes.figure.get_figure(root=True)
    assert drawing is not None
    drawing.draw_without_rendering()  # from here on it is known where things are
    pixels = drawing.dpi / 72
    marks = [_around(axes, [at, at], MARK * pixels) for at in points]
    thin = [_around(axes, line, LINE * pixels) for line in lines]
    taken = Taken(marks, thin, axes.get_window_extent())
    middles = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in marks]
    placed = [(*axes.transData.transform((x, y)), name) for x, y, name in names]
    near = 3 * DISTANCES[-1] * pixels
    # Those with the most neighbours choose first.
    crowd = [sum(abs(x - u) + abs(y - v) < near for u, v in middles) for x, y, _ in placed]
    most = len(names) if most is None else most
    written = set()
    for place in sorted(range(len(names)), key=lambda i: (i >= most, -crowd[i], i)):
        x, y, name = names[place]
        note = annotation(axes, shown(name, LONGEST), (x, y), theme)
        if _place(axes, note, placed[place][:2], taken, pixels, place >= most):
            written.add(name)
        else:
            note.remove()
    return written


@dataclass
class Taken:
    """What is where, in pixels.

    Attributes:
        marks: of points.
        thin: lines of the data.
        frame: what names should not leave.
        words: names, and the lines to their points.
    """

    marks: Sequence[Box]
    thin: Sequence[Box]
    frame: Bbox
    words: list[Box] = field(default_factory=list)

    def covered(self, words: Sequence[Box]) -> float:
        """Return how much a name, and the line to it, cover of points and names or lie outside."""
        there = [*self.marks, *self.words]
        area = sum(_common(part, other) for part in words for other in there)
        return area + 3 * _outside(words[0], self.frame)

    def crossed(self, name: Box) -> float:
        """Return how much it covers of lines."""
        return sum(_common(name, other) for other in self.thin)


def annotation(axes: Axes, text: str, at: At, theme: Theme) -> Text:
    """Return a text at a point of the data, with a rim that keeps lines behind it away."""
    from matplotlib.patheffects import withStroke

    note = axes.annotate(
        text, at, xytext=(0, 0), textcoords="offset points", size=8.5, ha="center", va="center",
        path_effects=[withStroke(linewidth=3.5, foreground=theme.background)],
    )  # fmt: skip
    note.set_in_layout(False)
    return note


def _place(axes: Axes, note: Text, at: At, taken: Taken, pixels: float, free: bool) -> bool:
    """Move the text to where it covers least, and take that place; if `free`, only a free one."""
    size = note.get_window_extent()
    half = (size.width / 2, size.height / 2)
    best: tuple[float, At, list[Box], bool] | None = None
    for rank, distance in enumerate(DISTANCES):
        for side, (right, up) in enumerate(SIDES):
            cost = (60 * rank + 4 * side) * pixels
            if best is not None and cost >= best[0]:
                continue
            away = distance * pixels * (0.75 if right and up else 1)
            shift = (right * (away + half[0]), up * (away + (0 if right else half[1])))
            box = _box((at[0] + shift[0], at[1] + shift[1]), half)
            edge = (_nearest(shift[0], half[0]), _nearest(shift[1], half[1]))
            words = [box, *(_along(at, edge, pixels) if rank else ())]
            covered = taken.covered(words)
            if free and covered:
                continue
            cost += covered + taken.crossed(box)
            if best is None or cost < best[0]:
                best = (cost, shift, words, rank > 0)
    if best is None:
        return False
    _, shift, words, far = best
    taken.words += words
    note.set_position((shift[0] / pixels, shift[1] / pixels))
    if far:
        edge = (_nearest(shift[0], half[0]), _nearest(shift[1], half[1]))
        axes.annotate(
            "", note.xy, xytext=(edge[0] / pixels, edge[1] / pixels), textcoords="offset points",  # type: ignore[attr-defined]
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": note.get_color(),
                        "alpha": 0.6, "shrinkA": 0, "shrinkB": MARK},
        ).set_in_layout(False)  # fmt: skip
    return True


def _around(axes: Axes, line: Sequence[At], room: float) -> Box:
    (x, y), (u, v) = axes.transData.transform(line)
    return (min(x, u) - room, min(y, v) - room, max(x, u) + room, max(y, v) + room)


def _box(middle: At, half: At) -> Box:
    return (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])


def _along(at: At, edge: At, pixels: float) -> list[Box]:
    """Return boxes along the line from a point's mark to `edge`, which is seen from the point."""
    length, room = math.hypot(*edge), LINE * pixels
    ways = range(math.ceil(1.5 * MARK * pixels + room), int(length), math.ceil(2 * room))
    middles = [(at[0] + w / length * edge[0], at[1] + w / length * edge[1]) for w in ways]
    return [_box(middle, (room, room)) for middle in middles]


def _nearest(middle: float, half: float) -> float:
    """Return where a box of that middle is nearest to 0, on one axis."""
    return 0.0 if abs(middle) <= half else middle - math.copysign(half, middle)


def _common(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, frame: Bbox) -> float:
    """Return how much of the box is outside of the frame."""
    inside = _common(box, (frame.x0, frame.y0, frame.x1, frame.y1))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside
