"""What is drawn where: fronts, lines of cards, names beside points."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import Any

import pytest
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex

from harness.record import Memory, PhaseMemory
from harness.reporting.figures.bars import Bar, stacked
from harness.reporting.figures.courses import Course, courses
from harness.reporting.figures.fronts import Panel, Point, one_panel
from harness.reporting.figures.theme import LIGHT, style
from harness.units import GIB, MIB


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


def crowd(same: int) -> list[Point]:
    """57 methods, the first of which are at one place, in the middle of the field."""
    return [
        Point(f"method-{i}", 60, None, 5 * GIB, GIB)
        if i < same
        else Point(f"method-{i}", 60 + 5 * math.sin(7 * i), 0.2, GIB + i * GIB // 7, GIB)
        for i in range(57)
    ]


@pytest.mark.parametrize("same", [0, 20])
def test_of_many_methods_as_many_are_named_as_fit(same: int) -> None:
    points = crowd(same)
    panel = Panel("", "accuracy, %", points)
    with style("light"):
        drawing = one_panel(panel, [p.method for p in points], "light", baseline="method-0")
        drawing.draw_without_rendering()
        [axes] = drawing.axes
        notes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    boxes = {name: box for name, box in notes.items() if name}
    assert not [pair for pair in combinations(boxes.values(), 2) if pair[0].overlaps(pair[1])]
    must = {p.method for p in panel.standing_out("method-0")}
    assert must == {p.method for p in panel.front} | {
        "method-0", min(points, key=lambda p: p.score).method, "method-56",
    }  # fmt: skip
    assert must <= set(boxes)
    assert len(boxes) > len(must) + 10
    places = axes.transData.transform([(p.peak / GIB, p.score) for p in points])
    others = [box for name, box in boxes.items() if name not in must]
    assert not [1 for box, (x, y) in product(others, places) if box.contains(x, y)]
    marks = [each.lines[0] for each in axes.containers]
    gray = [line for line in marks if to_hex(line.get_color()).upper() == LIGHT.muted]
    named = [line for line in marks if line not in gray]
    assert sum(len(line.get_xdata()) for line in gray) == 57 - len(boxes), "unnamed ones stand back"
    assert len(gray) == bool(same)
    lowest = min(line.get_zorder() for line in named)
    assert all(line.get_zorder() < lowest for line in gray), "and hide nothing"
    [base] = [line for line in marks if line.get_zorder() == max(m.get_zorder() for m in marks)]
    assert (base.get_xdata()[0], base.get_ydata()[0]) == (points[0].peak / GIB, points[0].score)


# -- memory over training ------------------------------------------------------------------------


def course(*phases: tuple[int, int, int], baseline: int | None = None) -> Course:
    """Return a run of phases of so many steps, a peak and what their split holds of it; MiB."""
    found, first = [], 0
    for steps, peak, split in phases:
        held = {"weights.base": 20 * MIB, "activations": (split - 20) * MIB}
        found.append(
            PhaseMemory(first_step=first, steps=steps, trainable=1, peak_allocated=peak * MIB,
                        peak_mean=peak * MIB / 2, split=held, peaks={}, saved_activations=1,
                        at_rest=1)
        )  # fmt: skip
        first += steps
    peak = max(phase.peak_allocated for phase in found)
    memory = Memory(meter="cuda", phases=found, peak_training=peak, peak_step_mean=1,
                    peak_last_phase=found[-1].peak_allocated)  # fmt: skip
    return Course("aflora", memory, baseline)


def ends_at(axes: Any, heights: dict[int, int]) -> bool:
    """Tell whether the stack is so high in these steps, in the unit of the axis."""
    areas = [each for each in axes.collections if isinstance(each, PolyCollection)]
    paths = [path for area in areas for path in area.get_paths()]
    filled = {
        (step, over): any(path.contains_point((step, height + over)) for path in paths)
        for step, height in heights.items()
        for over in (-0.5, 0.5)
    }
    return all(inside == (over < 0) for (_, over), inside in filled.items())


def drawn(runs: list[Course]) -> Any:
    with style("light"):
        return courses(runs, "lora", "light")


def test_a_phase_is_as_high_as_its_peak_whatever_its_split_holds() -> None:
    rising = course((50, 200, 120), (50, 300, 299), (50, 400, 40))
    assert rising.rest
    drawing = drawn([rising])
    assert ends_at(drawing.axes[0], {25: 200, 75: 300, 125: 400})
    assert "not split" in words_of(drawing)
    whole = course((50, 200, 200), (50, 100, 100))
    assert not whole.rest
    assert "not split" not in words_of(drawn([whole]))
    more = course((50, 200, 250), (50, 100, 100))
    assert not more.rest, "a split of more than the peak leaves no rest"
    assert more.top == 250 * MIB, "and is drawn whole"


def test_every_panel_of_memory_over_training_holds_what_is_drawn_in_it() -> None:
    small, large = course((50, 200, 200), (50, 100, 50)), course((60, 700, 500), (60, 900, 300))
    dashed = course((50, 200, 200), (50, 100, 50), baseline=1000 * MIB)
    for runs in ([small, large], [large, small], [small, large, dashed]):
        for axes, run in zip(drawn(runs).axes, runs, strict=True):
            bottom, top = axes.get_ylim()
            assert bottom == 0
            ends = [float(y) for line in axes.lines for y in line.get_ydata()]
            assert run.top / MIB < max(ends) < 0.98 * top, "triangles are over the stack, and seen"


def test_phases_too_short_to_be_seen_are_drawn_as_one() -> None:
    short = [(2, 100 + 10 * i, 90) for i in range(20)]  # 40 of 1,000 steps
    run = course((400, 300, 290), *short, (560, 200, 190))
    assert run.merged
    first, one, two, last = run.stretches
    assert [first.first, one.first, two.first, last.first] == [0, 400, 420, 440]
    assert (one.peak, two.peak) == (190 * MIB, 290 * MIB)
    assert one.parts["not split"] == 100 * MIB, "split and rest are of the phase with the peak"
    assert one.mean == pytest.approx(sum(range(100, 200, 10)) / 10 / 2 * MIB)
    drawing = drawn([run])
    [axes] = drawing.axes
    assert ends_at(axes, {200: 300, 401: 190, 419: 190, 421: 290, 439: 290, 441: 200, 900: 200})
    [triangles] = [line for line in axes.lines if line.get_marker() == "v"]
    assert list(triangles.get_xdata()) == [400, 420, 440]
    lines = [each for each in axes.collections if isinstance(each, LineCollection)]
    assert [line.get_segments()[0][1][1] for line in lines] == [300, 290, 290]


def test_phases_of_which_none_is_short_are_drawn_as_they_are() -> None:
    run = course((30, 300, 290), (30, 200, 100), (1, 200, 100), (30, 100, 100))
    assert not run.merged
    assert [stretch.steps for stretch in run.stretches] == [30, 30, 1, 30]
    separators = [c for c in drawn([run]).axes[0].collections if isinstance(c, LineCollection)]
    assert len(separators) == 1, "none beside what is too short"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("phase", [(0, 300, 290), (50, 0, 20), (50, 0, 0), (0, 0, 0)])
def test_odd_phases_spoil_no_panel(phase: tuple[int, int, int]) -> None:
    run = course(phase, phase)
    assert len(run.stretches) == 2
    drawn([run]).draw_without_rendering()
