"""Where own data lie: files, folders, archives, the hub; which rows are evaluated on."""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
from pathlib import Path

import pytest
from own import TRAIN, load, task, write

from harness.errors import UserError
from harness.tasks.base import DataRequest, Example


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
