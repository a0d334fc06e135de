"""A user's own data from the suite's file to the record: as docs/own_data.md has it, and beyond."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import commands
import pytest
from cells import silent

from harness.cell import run_cell
from harness.errors import UserError
from harness.forecasting.requests import requests_of, shapes_without_data
from harness.simulation.target import CPU
from harness.store import Store
from harness.suite.load import load_suite
from harness.suite.suite import Cell

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["Fehler, schwer", "NA", 'a "wish"']
WORDS = {"Fehler, schwer": "crash", "NA": "nothing", 'a "wish"': "please"}


def suite_of_the_page() -> str:
    """Return the suite that the documentation shows, as a reader copies it."""
    [text] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/own_data.md").read_text(), flags=re.S)
    return str(text)


def tickets(count: int = 120) -> str:
    """Return a CSV whose label a word of each text tells."""
    draw = random.Random(0)
    lines = ["question,category"]
    for _ in range(count):
        label = draw.choice(LABELS)
        words = [WORDS[label], *draw.choices(["the", "app", "ü", "again"], k=4)]
        draw.shuffle(words)
        doubled = label.replace('"', '""')
        lines.append(f'"{" ".join(words)}, {draw.randrange(9)}","{doubled}"')
    return "\ufeff" + "\r\n".join(lines) + "\r\n"


def headroom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.headroom(folder, *arguments, cache=folder / "cache")


def test_a_csv_with_three_text_labels_runs_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(suite_of_the_page())
    (tmp_path / "tickets.csv").write_bytes(tickets().encode())
    done = headroom(
        tmp_path, "run", "mine.yaml", "methods=[full]", "model.config=tiny-bert",
        "train.max_length=16", "train.batch_size=8", "train.lr=5.0e-3", "--export", "model",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    store = Store(tmp_path / "runs" / "mine")
    [record] = store.records()
    assert (record.task, record.main_metric) == ("tickets", "accuracy")
    assert record.data is not None
    assert (record.data.train_rows, record.data.evaluation_rows) == (108, {"validation": 12})
    assert record.data.source == "local tickets.csv"
    assert len(record.data.fingerprint) == 64
    assert record.main_score is not None
    assert record.main_score > 0.8  # a third of the rows has the most frequent label
    assert list(record.reported) == ["accuracy", "f1_macro"]
    assert record.forecast is not None
    assert record.memory is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
    assert record.export is not None
    config = json.loads((store.folder / record.export.folder / "config.json").read_text())
    assert config["id2label"] == {str(n): label for n, label in enumerate(sorted(LABELS))}


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (tickets(), 0, "1 cells, 1 to run"),
        (tickets() + "one\r\n", 2, "tickets.csv, line 122: 1 fields where the header has 2"),
        (tickets().replace("category", "kategory"), 2, "did you mean 'kategory'"),
        (None, 2, "tickets.csv: no such file"),
    ],
)
def test_a_dry_run_reads_the_file(
    content: str | None, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(suite_of_the_page())
    if content is not None:
        (tmp_path / "tickets.csv").write_bytes(content.encode())
    done = headroom(tmp_path, "run", "mine.yaml", "methods=[full]", "--dry-run")
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert not (tmp_path / "runs").exists()


# -- cells ---------------------------------------------------------------------------------------

SUITE = """\
name: own
model: {config: tiny-bert}
tasks: [{name: mine, kind: KIND, path: train.csv, eval: 0.25SAID}]
methods: [full]
train: {batch_size: 8, max_length: 12, epochs: 3, lr: 5.0e-3, checkpoint: best}
"""


def cell_of(folder: Path, said: str = "", kind: str = "regression", *overrides: str) -> Cell:
    file = folder / "own.yaml"
    file.write_text(SUITE.replace("KIND", kind).replace("SAID", said))
    (cell,) = load_suite(file, overrides).cells()
    return cell


def numbers(count: int = 64) -> str:
    draw = random.Random(0)
    words = {"none": 0.0, "some": 1.5, "many": 3.0}
    chosen = draw.choices([*words], k=count)
    return "text,label\n" + "".join(f"{w} {draw.randrange(9)},{words[w]}\n" for w in chosen)


def test_errors_are_least_at_the_best_and_a_function_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.csv").write_text(numbers())
    (tmp_path / "own_scores.py").write_text(
        "def near(references, predictions):\n"
        "    assert references.shape == predictions.shape\n"
        "    return (abs(references - predictions) < 0.5).mean()\n"
    )
    monkeypatch.chdir(tmp_path)
    record = run_cell(cell_of(tmp_path, ', metrics: [mae, r2, "own_scores:near"]'), silent)
    assert record.outcome == "ok"
    errors = [epoch["validation"]["mae"] for epoch in record.history]
    assert record.best_epoch == errors.index(min(errors))
    assert record.main_score == min(errors) < 1.0
    assert list(record.reported) == ["mae", "r2", "own_scores:near"]
    assert 0 < record.reported["own_scores:near"] <= 1
    assert record.averaged_score is None  # no average over tasks has an error in it
    assert record.forecast is not None
    assert record.memory is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64


def test_the_key_is_that_of_the_description(tmp_path: Path) -> None:
    said = [
        "",
        ", text: question",
        ", pair: b",
        ", label: c",
        ", labels: [a, b]",
        ", metrics: [accuracy]",
        ", config: x",
        ", config: x, revision: y",
        ", train_rows: 5",
    ]
    kind = "classification"
    cells = [cell_of(tmp_path, each, kind) for each in said]
    others = [cell_of(tmp_path, "", "regression"), cell_of(tmp_path, "", kind, "data_root=x")]
    assert len({cell.key for cell in [*cells, *others]}) == len(said) + 2
    twice = cell_of(tmp_path, ", labels: [1, true]", kind)
    assert twice.key == cell_of(tmp_path, ', labels: ["1", "true"]', kind).key
    assert Cell.model_validate(json.loads(twice.model_dump_json())) == twice


def test_what_is_not_said_is_in_no_key(tmp_path: Path) -> None:
    task = cell_of(tmp_path).model_dump(mode="json")["task"]
    assert task["data"] == {"kind": "regression", "path": "train.csv", "eval": 0.25}
    known = load_suite(ROOT / "suites" / "quick.yaml").cells()[0].model_dump(mode="json")["task"]
    assert "data" not in known


def test_listed_labels_make_a_forecast_without_the_file(tmp_path: Path) -> None:
    def asked(said: str) -> Any:
        cell = cell_of(tmp_path, said, "classification", "train.padding=max")
        return requests_of(cell, CPU, shapes_without_data(cell))[0]

    assert asked(", labels: [a, b, c]").num_labels == 3
    with pytest.raises(UserError, match=r"train\.csv: no such file.*labels: \[\.\.\.\] beside"):
        asked("")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: x, kind: clasification, path: a}", ["tasks.0.kind", "'classification'"]),
        ("{name: x, kind: regression}", ["key 'tasks.0.path' is missing"]),
        ("{name: x, path: a}", ["key 'tasks.0.kind' is missing"]),
        ("{kind: regression, path: a}", ["key 'tasks.0.name' is missing"]),
        ("{name: x, kind: regression, path: a, evl: 0.1}", ["'tasks.0.evl'", "'eval'"]),
        ("{name: x, data: {kind: regression, pth: a}}", ["'tasks.0.data.pth'", "'path'"]),
        ("{name: rte, kind: regression, path: a}", ["'rte' is a known task's"]),
        ("{name: shape, kind: regression, path: a}", ["'shape' is a known task's"]),
        ("{name: '..', kind: regression, path: a}", ["'..' is no name"]),
        ("{name: x, kind: regression, path: a, eval: 1}", ["tasks.0.eval: 1 is no share"]),
        ("{name: x, kind: regression, path: a, text_column: b}", ["own data has text"]),
        ("{name: x, kind: regression, path: a, folder: b}", ["own data has path"]),
        ("{name: x, kind: regression, path: a, revision: b}", ["has its config beside"]),
        ("{name: x, kind: regression, path: a, labels: [b, c]}", ["a regression has no classes"]),
        ("{name: x, kind: regression, path: a, image: b}", ["image 'b' means nothing"]),
        ("{name: x, kind: regression, path: a, metrics: [accuracy]}", ["tasks.0.metrics: unknown"]),
        ("{name: x, kind: classification, path: a, metrics: [f1_makro]}", ["'f1_macro'"]),
        ("{name: x, kind: classification, path: a, metrics: []}", ["at least one metric"]),
        ("{name: x, kind: classification, path: a, labels: [b]}", ["at least two words"]),
        ("{name: x, kind: classification, path: a, labels: [b, b]}", ["none twice"]),
        ("{name: x, kind: classification, path: a, epochs: -1}", ["tasks.0.epochs", "-1"]),
        ("{shape: {family: causal_lm, length: 9}, kind: regression, path: a}", ["beside a shape"]),
    ],
)  # fmt: skip
def test_a_wrong_entry_says_where_and_what(entry: str, said: list[str], tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        f"name: x\nmodel: {{config: tiny-bert}}\ntasks:\n  - {entry}\nmethods: [full]\n"
    )
    with pytest.raises(UserError) as caught:
        load_suite(file).cells()
    for part in [f"{file}:4", *said]:
        assert part in str(caught.value)
