"""Figures made from forecasts: groups of modules, curves and cards, errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import eight_cells, record

from harness.forecasting.result import Forecast
from harness.foreseen import RunForecast, StageForecast
from harness.reporting.figures.against import (
    Point,
    accuracy_of,
    against_figures,
    against_of,
    points_of,
)
from harness.reporting.figures.figure import MODES, png
from harness.reporting.figures.growth import Panel, growth_figures
from harness.reporting.figures.of_forecasts import MOST_BARS, figures_of_forecasts
from harness.reporting.figures.places import OUTSIDE, REST, grouped
from harness.reporting.groups import Group
from harness.simulation.step_forecast import Need
from harness.units import GIB

PLACES = {
    "": [5, 90],
    "emb.word": [100, 100],
    "emb.norm": [1, 1],
    "layer.*.attn": [10, 10],
    "layer.*.attn.query": [200, 300],
    "layer.*.attn.key": [200, 300],
    "layer.*.mlp": [400, 900],
    "layer.*.norm": [50, 60],
    "head": [1, 2],
}


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 6, 20])
def test_groups_of_modules_hold_everything_and_are_no_more_than_asked(most: int) -> None:
    groups = grouped(PLACES, most)
    for point in (0, 1):
        assert sum(sizes[point] for sizes in groups.values()) == sum(
            sizes[point] for sizes in PLACES.values()
        )
    assert len(set(groups) - {REST}) <= most
    assert list(groups)[-1] == REST or REST not in groups


def test_the_largest_module_is_taken_apart_first() -> None:
    assert list(grouped(PLACES, 3)) == [OUTSIDE, "emb.word", "layer.*", REST]
    assert list(grouped(PLACES, 5)) == [
        OUTSIDE, "emb.word", "layer.*.attn", "layer.*.mlp", "layer.*.norm", REST
    ]  # fmt: skip
    assert grouped(PLACES, 6)["layer.*.attn.query"] == [200, 300]


def test_small_modules_stay_together_where_there_is_no_room() -> None:
    places = {
        f"layer.{name}": [size] for name, size in zip("abcde", (50, 40, 30, 20, 10), strict=True)
    }
    assert grouped(places, 3) == {"layer.a": [50], "layer.b": [40], "layer, the rest": [60]}


def axes_of(panels: list[Panel], cards: dict[str, int]) -> list[object]:
    [figure] = growth_figures("memory-by-batch", "batch size", "caption", panels, cards)
    return list(figure.draw("light").axes)


def test_cards_have_lines_where_they_are_near_and_curves_end_beyond_the_largest() -> None:
    curves = {"lora": {1: GIB, 8: 8 * GIB}, "full": {1: 2 * GIB, 8: 40 * GIB}}
    for cards, named, top in (
        ({"small": 7 * GIB, "large": 12 * GIB}, {"small", "large"}, 1.4 * 12),
        ({"small": 7 * GIB, "huge": 80 * GIB}, {"small"}, 40),
    ):
        [axes] = axes_of([Panel("tiny", curves)], cards)
        assert {text.get_text() for text in axes.texts} == named  # type: ignore[attr-defined]
        assert axes.get_ylim() == pytest.approx((0, 1.08 * top))  # type: ignore[attr-defined]


def test_many_panels_fill_several_figures() -> None:
    panels = [Panel(f"task {n}", {"lora": {1: GIB, 2: n * GIB}}) for n in range(1, 9)]
    empty = Panel("without a forecast", {"lora": {}})
    figures = growth_figures("m", "batch size", "c", [*panels, empty], {"card": GIB})
    assert [figure.name for figure in figures] == ["m", "m-2"]
    assert [len(figure.draw("dark").axes) for figure in figures] == [6, 2]
    assert growth_figures("m", "batch size", "c", [empty], {"card": GIB}) == []


def test_points_are_what_records_both_foresaw_and_measured(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)
    stages = {
        name: StageForecast(peak_allocated=size, peak_reserved=0, at_rest=1, saved_activations=1,
                            split={}, peaks={}, seconds=1)
        for name, size in (("warm-up", 90), ("frozen", 80))
    }  # fmt: skip
    foreseen = RunForecast(target="cpu", steps=[(1, 1)], stages=stages)
    records = [
        record(cells[0], 0.5, peak=100, forecast=foreseen),
        record(cells[1], 0.5, peak=100),
        record(cells[2], 0.5, peak=100, forecast=RunForecast(target="cpu", steps=[], error="no")),
        record(cells[3], 0.5, peak=100, forecast=foreseen, outcome="oom"),
    ]
    assert points_of(records) == [Point(records[0].path, 90, 100, "peak allocated, CPU step")]
    assert against_of(Group("small", {}, records)) == [], "one point is a line of the table"
    more = [record(cell, 0.5, peak=100, forecast=foreseen) for cell in cells[:4]]
    [figure] = against_of(Group("small", {}, more))
    assert "4 of them: median error 10 %" in figure.caption


def test_accuracy_counts_every_under_estimate() -> None:
    points = [Point("a", 99, 100, "k"), Point("b", 100, 100, "k"), Point("c", 103, 100, "k"),
              Point("d", 9_999_999, 10_000_000, "k")]  # fmt: skip
    found = accuracy_of(points)
    assert (found.count, found.under, found.worst.name) == (4, 2, "c")
    assert found.median == pytest.approx((1e-7 + 0.01) / 2)
    assert str(found) == (
        "4 of them: median error 0.5 %, the largest +3 % (c); 2 (50 %) are under-estimates"
    )


def test_one_point_and_none_can_be_drawn() -> None:
    assert against_figures([], "caption") == []
    for points in (
        [Point("exact", GIB, GIB, "peak")],
        [Point("a", GIB, 40 * GIB, "peak"), Point("b", 90 * GIB, 80 * GIB, "device")],
    ):
        [figure] = against_figures(points, "caption")
        assert "under-estimates" in figure.caption
        for mode in MODES:
            assert png(figure, mode).startswith(b"\x89PNG")
        texts = [text.get_text() for axes in figure.draw("light").axes for text in axes.texts]
        under = sum(point.error < 0 for point in points)
        share = f"{under} of {len(points)} ({100 * under // len(points)} %)"
        assert f"under-estimates: {share}" in texts


def test_many_bars_fill_several_figures_and_an_error_is_named() -> None:
    own = {"method": "m", "model": "tiny", "task": "t", "gpu": "l4", "stage": "training",
           "steps": [(1, 1)]}  # fmt: skip
    choices = dict.fromkeys(("precision", "attention", "gradient_checkpointing", "capability",
                             "torch", "transformers", "peft"), "x")  # fmt: skip
    need = {"training": Need(allocated=GIB, reserved=2 * GIB, expandable=0)}
    entries = [
        Forecast(cell=f"t/tiny/m{n}/s0", needs=need, split={"weights.base": GIB}, choices=choices,
                 **own) for n in range(MOST_BARS + 5)
    ]  # fmt: skip
    entries[-1] = entries[-1].model_copy(update={"needs": {}, "split": {}, "error": "cannot"})
    first, second = figures_of_forecasts(entries)
    assert (first.name, second.name) == ("memory-1", "memory-2")
    axes = second.draw("light").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["m60", "m61"]
    assert "no forecast" in {text.get_text() for text in axes.texts}


def test_curves_on_top_of_each_other_are_one_line_with_all_names() -> None:
    curves = {"b": {1: 1000, 2: 2000}, "a": {1: 1004, 2: 2000}, "c": {1: 1000, 2: 2020},
              "d": {1: 1000}}  # fmt: skip
    [figure] = growth_figures("m", "batch size", "c", [Panel("t", curves)], {"card": GIB})
    drawing = figure.draw("light")
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["a, b", "c", "d"]
    assert len(drawing.axes[0].lines) == 3
