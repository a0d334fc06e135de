"""Figures from records: which there are, what they say, and that nothing is hidden in them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from records import eight_cells, record

from harness.record import Record
from harness.reporting.figures.figure import Figure, png
from harness.reporting.figures.of_records import figures_of
from harness.reporting.figures.theme import looks, style
from harness.reporting.groups import Group
from harness.store import Store
from harness.suite.cell import Cell
from harness.units import GIB

AFLORA = {"encoder.layer.0.dense.A": 20, "encoder.layer.0.dense.B": 40,
          "encoder.layer.1.dense.A": 60, "encoder.layer.1.dense.B": None,
          "encoder.layer.1.dense.d": None}  # fmt: skip


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def group_of(records: list[Record]) -> Group:
    return Group("small", {"name": "small"}, records)


def in_phases(cell: Cell, peaks: list[int], **rest: Any) -> Record:
    """Return a record of 10 steps a phase, with these peaks."""
    content = record(cell, 0.5, peak=peaks[0], **rest).model_dump()
    [phase] = content["memory"]["phases"]
    content["memory"]["phases"] = [
        {**phase, "first_step": 10 * i, "steps": 10, "peak_allocated": peak,
         "peak_mean": 0.9 * peak, "split": {"weights.base": 1, "activations": peak - 1}}
        for i, peak in enumerate(peaks)
    ]  # fmt: skip
    content["memory"]["peak_training"] = max(peaks)
    return Record.model_validate(content)


def drawn(figure: Figure) -> Any:
    with style("light"):
        drawing = figure.draw("light")
        drawing.draw_without_rendering()
    return drawing


def words_of(drawing: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in drawing.findobj(Text))


def test_a_report_has_the_figures_that_have_something_to_say(cells: list[Cell]) -> None:
    plain = [record(cell, 0.5, peak=2**30) for cell in cells]
    names = [figure.name for figure in figures_of(group_of(plain))]
    assert names == ["score-and-memory", "score-and-memory-by-task", "memory", "costs"]
    freezing = [
        in_phases(cell, [2**30, 2**29], frozen_at=AFLORA) if cell.method == "lora" else each
        for cell, each in zip(cells, plain, strict=True)
    ]
    more = [figure.name for figure in figures_of(group_of(freezing))]
    assert [name for name in more if name not in names] == [
        "memory-over-training", "freezing", "freezing-of-projections", "freezing-of-projections-2",
    ]  # fmt: skip
    one = [each for each in plain if each.task == "rte" and each.method == "full"]
    assert [figure.name for figure in figures_of(group_of(one))] == ["score-and-memory", "memory"]


def test_every_figure_draws_and_says_what_was_measured(cells: list[Cell]) -> None:
    found = [in_phases(cell, [2**30, 2**29], frozen_at=AFLORA) for cell in cells]
    for figure in figures_of(group_of(found)):
        assert png(figure, "dark").startswith(b"\x89PNG")
        assert "at most 128 tokens" in figure.caption
        assert "torch 2.13.0" in figure.caption
        assert "abacus" in figure.caption
        of_memory = "memory" in figure.name
        assert ("every tensor counted on the CPU" in figure.caption) == of_memory, figure.name


def test_what_failed_is_named_in_every_figure_of_methods(cells: list[Cell]) -> None:
    lost = {"memory": None, "main_score": None, "averaged_score": None, "flops": None, "time": None}
    found = [
        record(cell, 0.5, outcome="oom", parameters=None, **lost)
        if cell.method == "lora"
        else record(cell, 0.5)
        for cell in cells
    ]
    figures = {figure.name: figure for figure in figures_of(group_of(found))}
    assert "Not drawn: lora-r8 (4 OOM)." in figures["score-and-memory"].caption
    by_task = figures["score-and-memory-by-task"].caption
    assert "Not drawn: lora-r8 on acceptability (2 OOM), lora-r8 on rte (2 OOM)." in by_task
    assert "4 OOM" in words_of(drawn(figures["memory"]))
    assert "costs" not in figures, "there is nothing to compare with"
    half = [each for each in found if each.method == "full" or each.seed]
    half += [record(cell, 0.5) for cell in cells if cell.method == "lora" and not cell.seed]
    figures = {figure.name: figure for figure in figures_of(group_of(half))}
    assert "2 OOM" in words_of(drawn(figures["memory"]))
    assert "Not drawn" not in figures["score-and-memory"].caption


def test_nothing_but_failures_is_a_figure_where_they_were_foreseen(cells: list[Cell]) -> None:
    stage = {"peak_allocated": 20 * GIB, "peak_reserved": 1, "at_rest": 1, "saved_activations": 1,
             "split": {}, "peaks": {}, "seconds": 1.0}  # fmt: skip
    forecast = {"target": "cuda", "steps": [], "stages": {"training": stage}}
    lost = {"outcome": "oom", "memory": None, "main_score": None}
    assert figures_of(group_of([record(cells[0], 0.5, **lost)])) == []
    [figure] = figures_of(group_of([record(cells[0], 0.5, forecast=forecast, **lost)]))
    words = words_of(drawn(figure))
    assert "OOM" in words
    assert "forecast" in words


def test_a_method_has_one_colour_in_all_figures(cells: list[Cell]) -> None:
    """Also where another method, before it by name, has no point."""
    rte = [cell for cell in cells if cell.task.name == "rte" and not cell.seed]
    found = [record(rte[0], 0.4, path=f"rte/tiny/{name}/s0") for name in ("full", "lora", "safe")]
    lost = {"outcome": "oom", "memory": None, "main_score": None, "path": "rte/tiny/bitfit/s0"}
    figures = {f.name: f for f in figures_of(group_of([*found, record(rte[0], 0.4, **lost)]))}
    expected = [
        look.color for name, look in looks(["bitfit", "full", "lora", "safe"], "light").items()
    ]
    bars = drawn(figures["costs"]).axes[0].patches
    points = drawn(figures["score-and-memory"]).axes[0].containers
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars[:3]] == expected[1:]
    assert [point.lines[0].get_color() for point in points] == expected[1:]


def test_error_bars_are_the_spread_of_averages_over_seeds(cells: list[Cell]) -> None:
    found = [record(cell, 0.5 + 0.1 * cell.seed, peak=2**20 + cell.seed) for cell in cells]
    figure = figures_of(group_of(found))[0]
    panel, _ = figure.draw.args  # type: ignore[attr-defined]
    assert [p.score for p in panel.points] == pytest.approx([55, 55])
    assert [p.spread for p in panel.points] == pytest.approx([7.0711, 7.0711], abs=1e-4)
    by_task = figures_of(group_of(found))[1].draw.args[0]  # type: ignore[attr-defined]
    assert {(p.peak, p.least) for panel in by_task for p in panel.points} == {(2**20 + 1, 2**20)}


def test_less_is_better_where_it_is(cells: list[Cell]) -> None:
    found = [
        record(cell, 3.0 if cell.method == "lora" else 4.0, peak=2**20, main_metric="perplexity",
               averaged_score=None, reported={"perplexity": 3.0}, lowest=True)
        for cell in cells
        if cell.task.name == "rte"
    ]  # fmt: skip
    panel, _ = figures_of(group_of(found))[0].draw.args  # type: ignore[attr-defined]
    assert panel.score == "perplexity, less is better"
    assert [p.score for p in panel.front] == [3.0]


@pytest.mark.parametrize(
    ("held", "phases", "said"),
    [(2**30, 50, ""), (2**29, 2, "Not split: "), (2**30, 51, "Phases of less than 2 % ")],
)
def test_what_is_drawn_together_or_not_split_is_said(
    cells: list[Cell], held: int, phases: int, said: str
) -> None:
    content = in_phases(cells[0], [held] * phases).model_dump()
    for phase in content["memory"]["phases"]:
        phase["peak_allocated"] = 2**30
    found = figures_of(group_of([Record.model_validate(content)]))
    caption = {figure.name: figure.caption for figure in found}["memory-over-training"]
    said_of = ("Not split: ", "Phases of less than 2 % ")
    assert "".join(words for words in said_of if words in caption) == said


def test_of_many_methods_those_that_stand_out_are_named(cells: list[Cell]) -> None:
    rte = [cell for cell in cells if cell.task.name == "rte" and not cell.seed]
    found = [
        record(rte[0], 0.4 + i / 100, peak=GIB * (60 - i), path=f"rte/tiny/m{i}/s0")
        for i in range(57)
    ]
    figures = {figure.name: figure for figure in figures_of(group_of(found))}
    assert "Of 57 methods those of such a line, the base" in figures["score-and-memory"].caption
    words = words_of(drawn(figures["score-and-memory"])).split("\n")
    assert {"m56", "m0"} <= set(words)
    words = words_of(drawn(figures["memory"])).split("\n")
    assert len({word for word in words if word.startswith("m")}) == 57


def test_of_hundreds_of_maps_the_first_are_drawn_and_the_others_told(cells: list[Cell]) -> None:
    rte = next(cell for cell in cells if cell.task.name == "rte" and not cell.seed)
    found = [
        in_phases(rte, [2**30, 2**29], frozen_at=AFLORA, path=f"rte/tiny/m{i}/s0")
        for i in range(300)
    ]
    maps = [f for f in figures_of(group_of(found)) if f.name.startswith("freezing")]
    assert [figure.name for figure in maps] == [
        "freezing", "freezing-2", "freezing-of-projections",
        "freezing-of-projections-2", "freezing-of-projections-3", "freezing-of-projections-4",
    ]  # fmt: skip
    assert "The first 24 of 300 are drawn." in maps[0].caption
    assert "The first 4 of 300 such maps are drawn." in maps[-1].caption


@pytest.mark.filterwarnings("error")
def test_labels_appear_literally(cells: list[Cell]) -> None:
    rte = [cell for cell in cells if cell.task.name == "rte" and not cell.seed]
    hostile = ["$x^2$", "\\frac{a}", "<b>&|x|", "a\nb", "\x1b[31m", "\u202eabc", "%s {}"]
    found = [record(rte[0], 0.4, path=f"rte/tiny/{name}/s0") for name in hostile]
    literal = [*hostile[:3], "a b", "\\x1b[31m", "\\u202eabc", hostile[-1]]
    for figure in figures_of(group_of(found)):
        png(figure, "light")
        lines = words_of(drawn(figure)).split("\n")
        assert set(literal) <= set(lines), figure.name


def of_models(cells: list[Cell], *models: str) -> list[Figure]:
    found = [
        record(cell, 0.5, path=f"{cell.task.name}/{model}/{cell.method}/s{cell.seed}")
        for cell in cells
        for model in models
    ]
    return figures_of(group_of(found))


def test_models_have_figures_of_their_own(cells: list[Cell]) -> None:
    figures = of_models(cells, "bert base", "a:b")
    assert [figure.name for figure in figures[::4]] == [
        "score-and-memory-bert-base", "score-and-memory-a-b",
    ]  # fmt: skip
    assert figures[2].title == "Peak memory by what holds it: bert base"
    names = [figure.name for figure in of_models(cells, "a b", "a:b", "$")]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)


# -- what must not happen ------------------------------------------------------------------------

ODD: list[dict[str, Any]] = [
    {"main_score": -1e300}, {"averaged_score": math.nan}, {"peak": 0}, {"peak": 10**300},
    {"seconds": 0.0},
    {"seconds": math.inf}, {"steps": 0, "frozen_at": AFLORA}, {"frozen_at": {"": -3, ".": 10**15}},
    {"method_state": {"frozen_at": {"a": "b", "layer.0.A": 3}}},
    {"method_state": {"frozen_at_epoch": {"0": 99}, "importance": None}},
    {"method_state": {"frozen_at_epoch": {"x": "y"}}}, {"environment": {}}, {"main_metric": None},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=str)
@pytest.mark.filterwarnings("error")
def test_an_odd_record_spoils_no_figure(cells: list[Cell], odd: dict[str, Any]) -> None:
    found = [record(cell, 0.5, **(odd if number == 5 else {})) for number, cell in enumerate(cells)]
    for figure in figures_of(group_of(found)):
        assert png(figure, "light")


def test_a_folder_of_an_old_release_has_its_figures() -> None:
    records, left_out = Store(Path("tests/data/old_run")).contents()
    assert left_out == []
    figures = {figure.name: figure for figure in figures_of(group_of(records))}
    assert {"score-and-memory", "memory", "memory-over-training", "costs", "freezing"} <= set(
        figures
    )
    assert "2 DIVERGED" in words_of(drawn(figures["memory"]))
    [maps] = figures["freezing"].draw.args  # type: ignore[attr-defined]
    assert [len(each.layers) for each in maps] == [4], "SAFE's layers"


def test_figures_are_made_without_matplotlib_until_they_are_drawn() -> None:
    code = ("import sys, harness.reporting.figures.of_records, harness.reporting.figures.figure; "
            "print('matplotlib' in sys.modules, 'torch' in sys.modules)")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
