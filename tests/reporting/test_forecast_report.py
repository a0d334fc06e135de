"""The report of a forecast: files, a narrow table, figures, the course of a step."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pages import data_of
from PIL import Image

from harness.forecast import app
from harness.reporting.columns import Table, words
from harness.reporting.forecast_report import ForecastReport, render, write

SUITE = """\
name: shapes
description: Two seeds that need the same.
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 8, length: 48}}
methods: [full, {safe: {over: {lora: {r: 4}}, tau: {quantile: 0.51}}, label: safe}]
train: {epochs: 20}
seeds: [0, 1]
"""


def run(folder: Path, *arguments: str) -> Any:
    file = folder / "shapes.yaml"
    file.write_text(SUITE)
    with pytest.raises(SystemExit) as ended:
        app([str(file), *arguments])
    return ended.value.code


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def tables_in(text: str) -> list[list[str]]:
    """Return the lines of each table, closed ones included."""
    blocks = text.split("\n\n")
    return [block.splitlines() for block in blocks if block.startswith("| ")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    asked = ["--gpu", "rtx4090,h100", "--sweep", "batch=1,8", "--out", str(folder / "out")]
    assert run(folder, *asked, "--json", str(folder / "all.json")) == 0
    return folder


def test_every_file_says_the_same(made: Path) -> None:
    out = made / "out"
    entries = json.loads((made / "all.json").read_text())
    assert json.loads((out / "forecast.json").read_text()) == entries
    rows = rows_of(out / "forecast.csv")
    assert len(rows) == len(entries) == 2 * 2 * (1 + 5), "seeds, cards, stages"
    for row, entry in zip(rows, entries, strict=True):
        assert row["cell"] == entry["cell"]
        assert int(row["peak_allocated (B)"]) == entry["peak_allocated"]
        assert int(row["split activations (B)"]) == entry["split"]["activations"]
    swept = rows_of(out / "sweeps.csv")
    assert [row["value"] for row in swept[:2]] == ["1", "8"]
    as_is = [entry for entry in entries if entry["stage"] in ("training", "warm-up")]
    assert [int(row["device (B)"]) for row in swept if row["value"] == "8"] == [
        entry["device"] for entry in as_is
    ]


def test_the_page_holds_every_cell_and_stage(made: Path) -> None:
    embedded = data_of((made / "out" / "report.html").read_text())
    [group] = embedded["groups"]
    entries = json.loads((made / "all.json").read_text())
    one_seed = {(e["cell"], e["stage"], e["peak_allocated"]) for e in entries if "/s0" in e["cell"]}
    assert {(run["path"], run["peak"]) for run in group["runs"]} == {
        (cell, peak) for cell, _, peak in one_seed
    }
    assert len(group["views"][0]["rows"]) == len(one_seed)
    assert {gpu for row in group["views"][0]["rows"] for gpu in row["verdicts"]} == {
        "rtx4090", "h100",
    }  # fmt: skip


def test_the_table_is_narrow_and_seeds_share_rows(made: Path) -> None:
    text = (made / "out" / "report.md").read_text()
    assert text.startswith("# Forecast of shapes\n\n`headroom forecast ")
    assert "--sweep batch=1,8 --out" in text, "the whole command"
    for table in tables_in(text):
        assert max(map(len, table)) <= 100
    main = tables_in(text.partition("<details>")[0])[0]
    names = [line.split("|")[1].strip() for line in main[2:]]
    own_kernels = 2  # an H100 holds other workspaces than an RTX 4090, so its rows are its own
    assert len(names) == own_kernels * (1 + 5)
    assert names[0] == "full"
    assert "— 25 % frozen" in names
    assert "Seeds that need the same share a row." in text
    assert text.count("<details>") == text.count("</details>") == 4, "the split, and the sweep"


def test_figures_of_cards_with_other_kernels_stand_apart(made: Path) -> None:
    text = (made / "out" / "report.md").read_text()
    drawn = sorted(file.name for file in (made / "out" / "figures").iterdir())
    stems = ["memory-by-batch-h100", "memory-by-batch-rtx4090", "memory-h100", "memory-rtx4090",
             "step-time-h100", "step-time-rtx4090"]  # fmt: skip
    assert drawn == sorted(f"{stem}{ending}.png" for stem in stems for ending in ("", "-dark"))
    for name in drawn:
        assert f"figures/{name}" in text
        assert Image.open(made / "out" / "figures" / name).size[0] == 1280


def test_a_changed_suite_is_not_described_as_what_it_is_not(made: Path, tmp_path: Path) -> None:
    assert "\n\nTwo seeds that need the same.\n\n" in (made / "out" / "report.md").read_text()
    assert run(tmp_path, "seeds=[0]", "methods=[full]", "--out", str(tmp_path)) == 0
    text = (tmp_path / "report.md").read_text()
    said = (
        "The suite's file says: *Two seeds that need the same.* The command's overrides changed it."
    )
    assert f"\n\n{said}\n\n" in text
    assert "'seeds=[0]' 'methods=[full]'" in text.splitlines()[2], "the whole command"


def test_an_explanation_follows_one_step(tmp_path: Path) -> None:
    out = tmp_path / "why"
    assert run(tmp_path, "--explain", "*/full/s0", "--out", str(out)) == 0
    told = json.loads((out / "explanation.json").read_text())
    points = rows_of(out / "timeline.csv")
    peak = told["by_gpu"]["rtx4090"]["peak_allocated"]
    assert max(int(point["allocated (B)"]) for point in points) == peak
    assert {point["part"] for point in points} == {"inputs", "forward", "backward", "optimizer"}
    text = (out / "report.md").read_text()
    assert "## One change at a time" in text
    drawn = sorted(file.name for file in (out / "figures").iterdir())
    assert drawn == ["timeline-category-dark.png", "timeline-category.png",
                     "timeline-module-dark.png", "timeline-module.png"]  # fmt: skip


def test_where_nothing_can_be_written_nothing_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(tmp_path, "--out", str(tmp_path / "out")) == 2
    assert "out" in capsys.readouterr().err
    assert run(tmp_path, "--explain", "*/full/s0", "--sweep", "batch=1") == 2
    assert "leave out --sweep" in capsys.readouterr().err
    assert run(tmp_path, "--sweep", "size=1") == 2
    assert "unknown 'size'" in capsys.readouterr().err


def test_free_text_renders_as_itself(tmp_path: Path) -> None:
    hostile = "<img src=x> a|b\n# no title"
    column = words(hostile, lambda row: str(row))
    tables = [Table(hostile, [column], [hostile], folded=folded) for folded in (False, True)]
    report = ForecastReport(hostile, f"headroom {hostile}", hostile, tables=tables, notes=[hostile])
    write(report, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert text == render(report)
    assert text.count("<img") == 1, "in the command, between backticks"
    assert "`headroom <img src=x> a|b # no title`" in text
    assert "\n# no" not in text
    for line in text.splitlines():
        assert not line.startswith("| ") or line.replace("\\|", "").count("|") == 2
