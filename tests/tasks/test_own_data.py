"""A user's own data: labels of any spelling, columns, numbers; every mistake names its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from own import TRAIN, load, task, write

from harness.errors import UserError
from harness.tasks.base import Example
from harness.tasks.own.kinds import KINDS
from harness.tasks.own.labels import in_order, spelled

# -- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (["pos", "neg", "NA"], ["NA", "neg", "pos"]),
        (["b", "a", "B", "ä", " a"], [" a", "B", "a", "b", "ä"]),
        (["10", "9", "1e1", "-2"], ["-2", "9", "10", "1e1"]),
        ([True, False], ["false", "true"]),
        ([3, 1, 10], ["1", "3", "10"]),
        (["1", "nan", "2"], ["1", "2", "nan"]),
        (["1_0", "9"], ["1_0", "9"]),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_class_numbers_depend_on_the_labels_alone(
    labels: list[Any], order: list[str], turned: bool, tmp_path: Path
) -> None:
    rows = [(f"text {label}", label) for label in (labels[::-1] if turned else labels)] * 2
    write(tmp_path / "train.jsonl", rows)
    own = task(tmp_path / "train.jsonl", eval=0.2)
    assert list(own.label_names) == order
    assert own.num_labels == len(order)
    data = load(own)
    for row in [*data.train, *data.evaluations["validation"]]:
        assert order[row.label] == spelled(labels[[f"text {x}" for x in labels].index(row.text)])


def test_a_label_is_the_same_in_every_kind_of_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [("a", "1"), ("b", "2"), ("c", "10")])
    write(tmp_path / "dev.jsonl", [("a", 1), ("c", 10)])
    write(tmp_path / "dev.parquet", [("b", 2), ("c", 10)])
    for name, numbers in (("dev.jsonl", [0, 2]), ("dev.parquet", [1, 2])):
        own = task(tmp_path / "train.csv", eval=str(tmp_path / name))
        assert [row.label for row in load(own).evaluations["validation"]] == numbers


def test_a_suite_may_fix_names_and_order(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    own = task(tmp_path / "train.csv", eval=0.2, labels=["pos", "NA", "neg", "mixed"])
    assert own.label_names == ("pos", "NA", "neg", "mixed")
    assert own.num_labels == 4
    rows = [*load(own).train, *load(own).evaluations["validation"]]
    assert {row.text: row.label for row in rows} == {
        text: ["pos", "NA", "neg"].index(label) for text, label in TRAIN
    }
    nowhere = task(tmp_path / "nowhere.csv", eval=0.2, labels=[0, 1, True])
    assert nowhere.num_labels == 3  # without data
    with pytest.raises(UserError, match=r"no such file.*labels: \[\.\.\.\] beside the path"):
        task(tmp_path / "nowhere.csv", eval=0.2).num_labels  # noqa: B018


def test_labels_that_training_lacks_are_all_named(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    write(tmp_path / "dev.csv", [("x", "pos"), ("y", "posi"), ("z", "Neg"), ("y", "posi")])
    with pytest.raises(
        UserError,
        match=r"task mine: .*dev\.csv, line 3, column 'label': 'posi' is none of the labels to "
        r"learn \(nor is 'Neg'\); did you mean 'pos'\? \(allowed: NA, neg, pos\)",
    ):
        load(task(tmp_path / "train.csv", eval=str(tmp_path / "dev.csv")))
    with pytest.raises(UserError, match=r"train\.csv, line 4, .*'NA' is none of the labels"):
        load(task(tmp_path / "train.csv", eval=0.2, labels=["pos", "neg"]))


def test_words_for_labels() -> None:
    assert [spelled(value) for value in (" a", 1, 1.5, True, "1.0")] == [
        " a", "1", "1.5", "true", "1.0",
    ]  # fmt: skip
    assert [spelled(value) for value in ("", None, float("nan"), [1], {})] == [None] * 5
    assert in_order(["2", "10", "2.0"]) == ("2", "2.0", "10")


# -- rows and columns ----------------------------------------------------------------------------


def test_columns_and_pairs(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [{"q": "who?", "c": "NA", "y": "yes"}, {"q": 7, "c": "", "y": "no"}] * 3
    path.write_text("\n".join(map(json.dumps, rows)))
    data = load(task(path, eval=0.5, text="q", pair="c", label="y"))
    assert {*data.train, *data.evaluations["validation"]} == {
        Example("who?", "NA", 1), Example("7", "", 0),
    }  # fmt: skip
    assert {row.pair for row in load(task(path, eval=0.5, text="q", label="y")).train} == {None}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"text": "txt"}, "text: there is no column 'txt'; did you mean 'text'"),
        ({"pair": "labl"}, "pair: there is no column 'labl'; did you mean 'label'"),
        ({"label": "category"}, r"label: there is no column 'category'; allowed: label, text$"),
        ({"eval": None}, "train.csv: nothing to evaluate on; eval names a file"),
        ({"eval": "dev.csv"}, "dev.csv: no such file"),
        ({"eval": 0.95}, "train.csv: eval: a share of 0.95 leaves nothing of 6 rows"),
        ({"metrics": ["f1"]}, "metric 'f1' is of class 1 of two, and there are 3; take f1_macro"),
        ({"metrics": ["no_such:f"]}, "metric no_such:f: No module named 'no_such'"),
        ({"metrics": ["math:pi"]}, "metric math:pi: pi is 3.14.*, no function"),
        ({"metrics": ["math:nothing"]}, "metric math:nothing: AttributeError"),
        ({"metrics": ["os.path:join"]}, "metric os.path:join: TypeError"),
    ],
)
def test_what_a_suite_says_wrongly(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    with pytest.raises(UserError, match=f"^task mine: .*{message}"):
        load(task("train.csv", root=tmp_path, **{"eval": 0.2, **said}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "x"), ("b", "x")], "1 different labels in column 'label'; a classification has"),
        ([("a", "x"), ("b", "")], "line 2, column 'label': no label, but ''"),
        ([("a", "x"), ("b", None)], "line 2, column 'label': no label, but None"),
        ([("a", "x"), (None, "y")], "line 2, column 'text': None is no text"),
        ([("a", "x"), (["b"], "y")], r"line 2, column 'text': \['b'\] is no text"),
    ],
)
def test_what_rows_have_wrong(rows: list[Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows)
    with pytest.raises(UserError, match=f"train.jsonl[:,] {message}"):
        load(task(tmp_path / "train.jsonl", eval=0.5))


def test_numbers_to_learn(tmp_path: Path) -> None:
    rows = [(f"text {n}", n) for n in ("1", "-2.5", "1e2", "0")]
    write(tmp_path / "train.csv", rows)
    own = task(tmp_path / "train.csv", "regression", eval=0.25, metrics=["mae", "r2"])
    assert (own.num_labels, own.label_names, own.family) == (1, (), "regression")
    data = load(own)
    assert sorted(r.label for r in [*data.train, *data.evaluations["validation"]]) == [
        -2.5, 0.0, 1.0, 100.0,
    ]  # fmt: skip
    assert (data.select_metric, data.lowest, data.averaged) == ("mae", True, ())
    for wrong in ("1,5", "nan", "inf", "high", "1_0", "١", "1e999"):
        write(tmp_path / "wrong.csv", [("a", "1"), ("b", wrong)])
        message = rf"wrong\.csv, line 3, column 'label': '{wrong}' is no number"
        with pytest.raises(UserError, match=message):
            load(task(tmp_path / "wrong.csv", "regression", eval=0.5))


# -- what is said --------------------------------------------------------------------------------


def test_every_kind_says_which_columns_and_metrics_it_has() -> None:
    from harness.tasks.families import FAMILIES
    from harness.tasks.metrics import CLASSIFICATION, RANKING, REGRESSION
    from harness.tasks.own.kinds import get_kind

    for name in KINDS:
        kind = get_kind(name)
        assert kind.family in FAMILIES
        assert set(kind.roles) <= {"text", "pair", "label", "image"}
        assert set(kind.usual_metrics) <= set(kind.known_metrics)
    assert set(get_kind("classification").known_metrics) == {*CLASSIFICATION, *RANKING}
    assert set(get_kind("regression").known_metrics) == set(REGRESSION)
