"""A user's own data: labels of any spelling, splits, sources; every mistake names its place."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.tasks.base import DataRequest, Example, TaskData
from harness.tasks.own.data import OwnData
from harness.tasks.own.kinds import KINDS
from harness.tasks.own.labels import in_order, spelled
from harness.tasks.own.task import OwnTask

TRAIN = [("so good", "pos"), ("so bad", "neg"), ("so NA", "NA"), ("good, too", "pos"),
         ("bad, too", "neg"), ("NA, too", "NA")]  # fmt: skip


def write(path: Path, rows: list[tuple[str, Any]], columns: tuple[str, str] = ("text", "label")):
    """Write rows as the kind of file that the name says."""
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    if path.suffix == ".json":
        path.write_text(json.dumps(named))
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in named))
    elif path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(named).to_parquet(path)
    else:
        lines = [columns, *rows]
        path.write_text("".join("{}\n".format(",".join(f'"{f}"' for f in line)) for line in lines))


def task(path: Path | str, kind: str = "classification", revision: str | None = None,
         root: Path | None = None, **said: Any) -> OwnTask:  # fmt: skip
    data = OwnData(kind=kind, path=str(path), **said)
    return OwnTask("mine", data, root, revision)


def load(own: OwnTask, **request: Any) -> TaskData:
    return own.load(DataRequest(**request))


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
        ({"label": "category"}, r"label: there is no column 'category'; \(allowed: label, text\)"),
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


# -- parts ---------------------------------------------------------------------------------------


def test_a_share_is_held_out_by_the_data_alone(tmp_path: Path) -> None:
    rows = [(f"text {n}", "ab"[n % 2]) for n in range(50)]
    write(tmp_path / "train.csv", rows)
    data, again = (load(task(tmp_path / "train.csv", eval=0.2)) for _ in range(2))
    assert data == again
    assert (len(data.train), len(data.evaluations["validation"])) == (40, 10)
    texts = [row.text for row in (*data.train, *data.evaluations["validation"])]
    assert sorted(texts) == sorted(text for text, _ in rows)
    assert [r.text for r in data.train] == [t for t, _ in rows if t in texts[:40]]  # in order
    assert data.evaluations["validation"] != load(
        task(tmp_path / "train.csv", eval=0.1)
    ).evaluations["validation"]  # fmt: skip
    assert not any("stand among" in note for note in data.notes)
    write(tmp_path / "twice.csv", rows + rows)
    found = load(task(tmp_path / "twice.csv", eval=0.2)).notes
    assert any(re.match(r"\d+ of 20 validation rows stand among the training", n) for n in found)


def test_folders_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "train.csv", TRAIN)
    write(folder / "dev.jsonl", [("x", "pos"), ("y", "neg")])
    write(folder / "test.parquet", [("z", "NA")])
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inside/{file.name}")
    for path in (folder, tmp_path / "data.zip", tmp_path / "data.zip" / "inside"):
        data = load(task(path))
        assert [row.text for row in data.evaluations["validation"]] == ["x", "y"]
        assert data.report_on == ("validation",)
        safe = load(task(path), protocol="safe")
        assert [row.text for row in safe.evaluations["test"]] == ["z"]
        assert (safe.select_on, safe.report_on) == ("validation", ("test",))
        tested = load(task(path, eval="test")).evaluations["validation"]
        assert [row.text for row in tested] == ["z"]
        assert len(load(task(path, eval=0.5)).train) == 3
    (folder / "dev.jsonl").unlink()
    with pytest.raises(UserError, match=r"no file of validation rows, such as validation\.csv"):
        load(task(folder))
    with pytest.raises(UserError, match=r"eval: 'train' is learned from"):
        load(task(folder, eval="train"))


def test_safe_halves_where_there_is_no_test_part(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    (tmp_path / "dev.csv.gz").write_bytes(gzip.compress((tmp_path / "train.csv").read_bytes()))
    data = load(task("train.csv", root=tmp_path, eval="dev.csv.gz"), protocol="safe")
    assert [len(data.evaluations[name]) for name in ("validation", "test")] == [3, 3]
    both = [*data.evaluations["validation"], *data.evaluations["test"]]
    assert {row.text for row in both} == {text for text, _ in TRAIN}


def test_source_limits_and_fingerprint(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", TRAIN)
    own = task("train.csv", root=tmp_path, eval=0.34)
    data = load(own, train_rows=3, evaluation_rows=1)
    assert data.source == f"local {tmp_path / 'train.csv'}"
    assert (len(data.train), len(data.evaluations["validation"])) == (3, 1)
    assert own.is_local(DataRequest())
    names = own.label_names
    write(tmp_path / "train.csv", [("other", "yes"), ("rows", "no")] * 3)
    assert task("train.csv", root=tmp_path, eval=0.34).label_names == ("no", "yes") != names
    assert load(task("train.csv", root=tmp_path, eval=0.34)).fingerprint != data.fingerprint


# -- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the layout of what the hub converts: a folder per config, with one per split."""
    import datasets
    from datasets import ClassLabel, Dataset, Features, Value

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["zero", "a", "b"])})
    for split, labels in {"train": [0, 1, 2], "validation": [2, 0], "test": [-1]}.items():
        path = tmp_path / "repository" / "full" / split / "0000.parquet"
        path.parent.mkdir(parents=True)
        rows = {"text": [f"{split} {n}" for n in range(len(labels))], "label": labels}
        Dataset.from_dict(rows, features=kinds).to_parquet(path)
    return tmp_path / "repository"


def test_the_hub_s_layout_without_a_card(hub: Path) -> None:
    from harness.tasks.sources import hub_rows

    own = task(hub, config="full", revision="refs/convert/parquet")
    data = load(own)
    assert own.label_names == ("zero", "a", "b")  # in the hub's order
    assert [row.label for row in data.train] == [0, 1, 2]
    assert data.evaluations["validation"][0] == Example("validation 0", None, 2)
    assert data.source == f"hub {hub}@refs/convert/parquet full"
    assert hub_rows(str(hub), "full", None, "validation")[1] == {"text": "validation 1", "label": 0}
    with pytest.raises(UserError, match="full test, row 1, column 'label': no label, but None"):
        load(task(hub, config="full", eval="test"))
    with pytest.raises(UserError, match=r"cannot load small of .*split train .*BuilderConfig"):
        load(task(hub, config="small"))
    with pytest.raises(UserError, match=r"cannot load full of .*split valid "):
        load(task(hub, config="full", eval="valid"))


def test_what_looks_like_the_hub_needs_a_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a data set of the hub needs its config beside the path"):
        load(task("someone/texts", eval=0.1))


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


# -- real files, where they are at hand ----------------------------------------------------------

GLUE = {
    "sst2": ("sentence", None, "label"),
    "mrpc": ("#1 String", "#2 String", "Quality"),
    "rte": ("sentence1", "sentence2", "label"),
    "stsb": ("sentence1", "sentence2", "score"),
}


@pytest.mark.parametrize("name", GLUE)
def test_files_of_glue_read_as_own_data_are_glue_s_rows(name: str, shared_data: Path) -> None:
    from harness.tasks import get_task

    text, pair, label = GLUE[name]
    folder = shared_data / f"glue-{name}"
    [train] = folder.glob("train.tsv*")
    kind = "regression" if name == "stsb" else "classification"
    own = task(train, kind, eval=str(folder / "dev.tsv"), text=text, pair=pair, label=label)
    ours, theirs = load(own), get_task(name).load(DataRequest(folder=folder))
    assert ours.fingerprint == theirs.fingerprint


@pytest.mark.parametrize(("name", "count"), [("devset", 4672), ("testset_w_refs", 4693)])
def test_real_csv_is_read_as_python_reads_it(name: str, count: int, shared_data: Path) -> None:
    from harness.tasks.sources import read_rows

    path = shared_data / "e2e-nlg" / f"{name}.csv"
    with path.open(newline="", encoding="utf-8-sig") as file:
        expected = list(csv.DictReader(file))
    assert read_rows(path) == expected
    assert len(expected) == count
