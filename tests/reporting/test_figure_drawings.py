"""What is drawn where: fronts, lines of cards, names beside points."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest

from harness.reporting.figures.bars import Bar, stacked
from harness.reporting.figures.fronts import Panel, Point, one_panel
from harness.reporting.figures.theme import style
from harness.units import GIB


def words_of(drawing: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in drawing.findobj(Text))


def test_the_front_is_what_no_other_method_beats_in_both() -> None:
    def point(name: str, score: float, peak: int) -> Point:
        return Point(name, score, None, peak, peak)

    points = [point("a", 50, 10), point("b", 60, 20), point("c", 55, 25), point("d", 60, 21),
              point("e", 49, 10), point("f", 70, 90)]  # fmt: skip
    assert [p.method for p in Panel("", "", points).front] == ["a", "b", "f"]
    assert [p.method for p in Panel("", "", points, lowest=True).front] == ["e"]


@pytest.mark.parametrize(("largest", "lines"), [(2, 0), (10, 0), (14, 1), (20, 2), (40, 3)])
def test_lines_of_cards_are_where_the_data_is(largest: int, lines: int) -> None:
    bars = [Bar("lora", {"weights": largest * GIB}, largest * GIB)]
    with style("light"):
        words = words_of(stacked(bars, "peak", "light"))
    assert sum(f"{size} GiB" in words for size in (16, 24, 48, 80)) == lines


def test_what_no_part_holds_is_drawn_as_not_split() -> None:
    bars = [Bar("lora", {"weights": 3 * GIB, "gradients": 1}, 4 * GIB), Bar("oom", failed="OOM")]
    with style("light"):
        drawing = stacked(bars, "peak", "light")
    [axes] = drawing.axes
    ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
    assert max(ends) == pytest.approx(4)
    labels = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert labels == ["weights", "not split"], "a byte of gradients is not to be seen"


def test_names_cover_neither_each_other_nor_the_points() -> None:
    points = [
        Point(f"method-{i}", 50 + 3 * math.sin(i), None, GIB + i * GIB // 60, GIB)
        for i in range(12)
    ]
    with style("light"):
        drawing = one_panel(Panel("", "accuracy, %", points), [p.method for p in points], "light")
        names = [text for text in drawing.axes[0].texts if text.get_text().startswith("method")]
        boxes = [text.get_window_extent() for text in names]
        frame = drawing.axes[0].get_window_extent()
    assert len(boxes) == 12
    assert not [1 for one, other in combinations(boxes, 2) if one.overlaps(other)]
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
