"""What the HTML page knows: rows, runs and forecasts as plain data."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import data_of, forecast, group, many, memory, renamed, sized
from records import eight_cells, record

from harness.forecasting.result import Forecast
from harness.reporting.comparison import SPLIT, compare_methods
from harness.reporting.figures.theme import looks
from harness.reporting.page.chapter import Chapter
from harness.reporting.page.page import page
from harness.units import MIB


def test_rows_are_those_of_the_comparison(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)
    records = [record(cell, 0.5 + i / 100, memory=memory(2**21 + i, 2**20))
               for i, cell in enumerate(cells)]  # fmt: skip
    embedded = data_of(page("a report", [Chapter(group(records, baseline="lora-r8"))]))
    made = embedded["groups"][0]
    assert [view["name"] for view in made["views"]] == ["all tasks", "acceptability", "rte"]
    for view, chosen in zip(
        made["views"],
        [records, *([r for r in records if r.task == t] for t in ("acceptability", "rte"))],
        strict=True,
    ):
        rows = compare_methods(chosen, "lora-r8").rows
        for ours, theirs in zip(view["rows"], rows, strict=True):
            assert (ours["method"], ours["peak"]) == (theirs.method, theirs.peak)
            assert ours["adapter"] == theirs.adapter
            one = theirs.scores[next(iter(theirs.scores))]
            value = theirs.average if view["name"] == "all tasks" else one.mean
            assert ours["score"] == pytest.approx(value, rel=1e-5)
            assert sum(ours["split"]) == ours["peak"]
            named = dict(zip(embedded["parts"], ours["split"], strict=True))
            assert {name: named[name] for name in SPLIT} == theirs.split
            assert ours["runs"] == len([r for r in chosen if r.method == theirs.method])
            assert ours["last"] == theirs.last == 2**20
    assert made["baseline"] == "lora-r8"
    assert len(made["runs"]) == len(records)


def test_a_run_says_what_was_alive_at_its_peak(tmp_path: Path) -> None:
    one = record(eight_cells(tmp_path)[0], 0.5, memory=memory(2**20, 2**21, 2**19))
    embedded = data_of(page("a report", [Chapter(group([one]))]))
    run = embedded["groups"][0]["runs"][0]
    highest = one.memory and one.memory.phases[1]
    assert highest
    told = [
        {"category": embedded["pool"][c], "path": embedded["pool"][p], "op": embedded["pool"][o],
         "num_bytes": size, "num_blocks": blocks}
        for c, p, o, size, blocks in run["holders"]
    ]  # fmt: skip
    assert told == highest.holders
    assert sum(run["split"]) == run["peak"] == 2**21
    assert [phase[4] for phase in run["phases"]] == [2**20, 2**21, 2**19]


def test_of_many_phases_the_first_last_and_highest_stay(tmp_path: Path) -> None:
    peaks = [1000 + i for i in range(200)]
    peaks[77] = 9999
    one = record(eight_cells(tmp_path)[0], 0.5, memory=memory(*peaks))
    run = data_of(page("a report", [Chapter(group([one]))]))["groups"][0]["runs"][0]
    phases = run["phases"]
    assert run["phases_of"] == 200
    assert len(phases) <= 61
    assert {phases[0][4], phases[-1][4]} == {1000, 1199}
    assert 9999 in [phase[4] for phase in phases]
    assert sum(phase[1] for phase in phases) == run["total"] == 2000, "each until the next"


@pytest.mark.parametrize(("methods", "tasks", "seeds"), [(50, 8, 5), (2000, 1, 1)])
def test_two_thousand_records_are_less_than_5_mb(
    tmp_path: Path, methods: int, tasks: int, seeds: int
) -> None:
    html = page("a report", [Chapter(group(many(tmp_path, methods, tasks, seeds)))])
    embedded = data_of(html)
    assert len(embedded["groups"][0]["runs"]) == 2000
    assert all(len(run["holders"]) == 12 for run in embedded["groups"][0]["runs"])
    assert len(html.encode()) < 5_000_000


def test_nothing_that_failed_is_hidden(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)
    outcomes = ["ok", "oom", "crashed", "diverged", "interrupted", "ok", "ok", "ok"]
    records = [
        record(cell, 0.5) if outcome == "ok"
        else record(cell, 0.5, outcome=outcome, memory=None, time=None, main_score=None,
                    averaged_score=None, message=f"why {outcome}", log_tail="x" * 9000)
        for cell, outcome in zip(cells, outcomes, strict=True)
    ]  # fmt: skip
    made = data_of(page("a report", [Chapter(group(records))]))["groups"][0]
    assert [run.get("outcome", "ok") for run in made["runs"]] == outcomes
    assert all(
        f"why {run['outcome']}" == run["message"] for run in made["runs"] if "outcome" in run
    )
    assert made["runs"][1]["log"].startswith("(the last 4,000 of 9,000 characters)")
    failed = sum(sum(row.get("failed", {}).values()) for row in made["views"][0]["rows"])
    assert failed == 4
    only = data_of(page("a report", [Chapter(group(records[1:4]))]))["groups"][0]
    assert all("peak" not in row for row in only["views"][0]["rows"])


def test_old_records_have_a_page(tmp_path: Path) -> None:
    one = record(eight_cells(tmp_path)[0], 0.5)
    bare = renamed(one, "rte/tiny/full/s0", memory=None, flops=None, time=None, parameters=None,
                   invocation=None, provenance=None, data=None, cell={})  # fmt: skip
    made = data_of(page("a report", [Chapter(group([bare]))]))["groups"][0]
    assert made["runs"][0]["path"] == "rte/tiny/full/s0"


def test_forecasts_have_a_page(tmp_path: Path) -> None:
    entries = [forecast("a6000"), forecast("t4", fits="does not fit", margin=-MIB),
               forecast("t4", cell="rte/tiny/frod/s0", method="frod", peak_allocated=None, needs={},
                        split={}, fits=None, margin=None, error="it <cannot>")]  # fmt: skip
    embedded = data_of(page("forecasts", [Chapter(entries, name="shapes")]))
    made = embedded["groups"][0]
    good, bad = made["views"][0]["rows"]
    assert made["gpus"] == ["a6000", "t4"]
    assert good["need"] == 130 * MIB, "the most of its activities"
    assert {gpu: verdict for gpu, (verdict, _) in good["verdicts"].items()} == {
        "a6000": "fits", "t4": "does not fit",
    }  # fmt: skip
    parts = dict(zip(embedded["parts"], good["split"], strict=True))
    assert parts["weights"] == 60 * MIB
    assert parts["activations"] == MIB, "what the allocator did not split, as in the tables"
    assert parts["not split"] == 39 * MIB
    assert bad["failed"] == {"error": 1}
    assert made["runs"][1]["message"] == "it <cannot>"


def test_what_tells_the_rows_of_a_forecast_apart_is_in_their_names() -> None:
    def names(*entries: Forecast) -> list[str]:
        made = data_of(page("forecasts", [Chapter(entries)]))["groups"][0]
        return [row["method"] for row in made["views"][0]["rows"]]

    stages = [forecast("t4", stage=stage, peak_allocated=size * MIB)
              for stage, size in (("warm-up", 100), ("50 % frozen", 70))]  # fmt: skip
    assert names(*stages) == ["lora, warm-up", "lora, 50 % frozen"]
    assert names(forecast("t4"), forecast("a6000")) == ["lora"], "one step for both"
    cards = [forecast("t4"), forecast("a6000"), forecast("h100", peak_allocated=MIB)]
    assert names(*cards) == ["lora (t4/a6000)", "lora (h100)"], "its kernels are others"
    grid = [forecast("t4", cell=f"rte/tiny/lora/batch={size}/s{size}") for size in (1, 2)]
    assert names(*grid) == ["lora batch=1 s1", "lora batch=2 s2"]


def test_a_group_has_the_looks_of_its_figures(tmp_path: Path) -> None:
    one, two = sized(tmp_path, {"b": 1, "a": 2}, [0.1, 0.2]), sized(tmp_path, {"c": 3}, [0.3])
    made = data_of(page("x", [Chapter(group(one)), Chapter(group(two))]))["groups"]
    for each in made:
        wanted = looks(each["methods"], "light")
        assert dict(zip(each["methods"], each["marks"], strict=True)) == {
            name: look.marker for name, look in wanted.items()
        }


def test_a_task_says_which_way_is_better(tmp_path: Path) -> None:
    records = sized(tmp_path, {"full": 3, "lora": 2}, [4.5, 5.5])
    errors = [renamed(r, r.path, main_metric="perplexity") for r in records]
    own = [renamed(r, r.path, main_metric="mine:loss", lowest=True) for r in records]
    for chosen, lower in ((records, False), (errors, True), (own, True)):
        [task] = data_of(page("x", [Chapter(group(chosen))]))["groups"][0]["tasks"]
        assert task["lower"] is lower
        assert task["fraction"] is (chosen is records)
