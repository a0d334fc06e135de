"""A user's own images: any layout, any labels, a seeded split where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cells import silent
from pictures import CLASSES, in_folders, in_parquet, picture, png, with_table, zipped

from harness.cell import run_cell
from harness.errors import UserError
from harness.suite.load import load_suite
from harness.tasks.base import DataRequest, TaskData
from harness.tasks.images.row import ImageExample
from harness.tasks.own.data import OwnData
from harness.tasks.own.task import OwnTask


def task(path: Path | str, root: Path | None = None, **said: Any) -> OwnTask:
    return OwnTask("mine", OwnData(kind="image", path=str(path), **said), root)


def load(own: OwnTask, **request: Any) -> TaskData:
    return own.load(DataRequest(**request))


def labels(data: TaskData, part: str) -> list[int]:
    rows = data.train if part == "train" else data.evaluations[part]
    return [row.label for row in rows if isinstance(row, ImageExample)]


def test_a_folder_with_parts(tmp_path: Path) -> None:
    own = task(in_folders(tmp_path / "set", tests="val"))
    assert own.label_names == CLASSES
    data = load(own)
    assert (len(data.train), len(data.evaluations["validation"])) == (20, 6)
    assert sorted(labels(data, "validation")) == [0, 0, 1, 1, 2, 2]
    safe = load(own, protocol="safe")
    assert {name: len(rows) for name, rows in safe.evaluations.items()} == {
        "validation": 3, "test": 3,
    }  # fmt: skip


def test_a_test_set_alone_is_evaluated_on(tmp_path: Path) -> None:
    own = task(zipped(tmp_path / "set"))
    assert len(load(own).evaluations["validation"]) == 6
    safe = load(own, protocol="safe")
    assert {name: len(rows) for name, rows in safe.evaluations.items()} == {
        "validation": 3, "test": 3,
    }  # fmt: skip


def test_classes_alone_are_split_once(tmp_path: Path) -> None:
    root = in_folders(tmp_path / "set") / "train"
    with pytest.raises(UserError, match=r"no images to evaluate on among train; eval names a fold"):
        load(task(root))
    data = load(task(root, eval=0.25))
    assert (len(data.train), len(data.evaluations["validation"])) == (15, 5)
    assert data.fingerprint == load(task(root, eval=0.25)).fingerprint
    other = load(task("set/train", tmp_path, eval="set/test"))
    assert len(other.evaluations["validation"]) == 6


def test_columns_metrics_and_labels(tmp_path: Path) -> None:
    root = with_table(tmp_path / "set")
    table = root / "labels.csv"
    table.write_text(table.read_text().replace("file,split,label", "photo,split,kind"))
    own = task(root, image="photo", label="kind", metrics=["f1_macro", "accuracy"])
    assert len(load(own).train) == 20
    assert own.metrics == ("f1_macro", "accuracy")
    table.write_text(table.read_text() + "all/train-000.png,train,cow\n")
    with pytest.raises(UserError, match=r"image 21, column 'kind': .* is none of the labels"):
        load(task(root, image="photo", label="kind", labels=["frog", "dog", "cat"]))
    with pytest.raises(ValueError, match="text 'x' means nothing for the kind image"):
        task(root, text="x")


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    own = task(in_parquet(tmp_path / "set", "picture", "kind"), config="default", label="kind")
    data = load(own)
    assert own.label_names == ("0", "1", "2")
    assert (labels(data, "train")[:4], len(data.evaluations["validation"])) == ([0, 1, 2, 0], 6)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    root = in_folders(tmp_path / "set")
    (root / "test" / "dog" / "test-001.png").write_bytes(png(picture("test", 1))[:50])
    with pytest.raises(UserError, match=r"task mine: .*dog/test-001.png: no image that Pillow"):
        load(task(root))


def test_a_suite_trains_on_them(tmp_path: Path) -> None:
    in_folders(tmp_path / "animals")
    file = tmp_path / "suite.yaml"
    file.write_text(
        "name: own\nmodel: {config: tiny-vit}\nmethods: [bitfit]\n"
        "tasks: [{name: animals, kind: image, path: animals, metrics: [accuracy, f1_macro]}]\n"
        f"data_root: {tmp_path}\ntrain: {{epochs: 1, batch_size: 8}}\n"
    )
    (cell,) = load_suite(file).cells()
    assert cell.num_labels == 3
    record = run_cell(cell, silent)
    assert record.outcome == "ok", record.message
    assert set(record.scores["validation"]) == {"accuracy", "f1_macro"}
