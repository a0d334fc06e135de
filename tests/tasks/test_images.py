"""The eight image sets: splits, classes, the hub's layout, what is noted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pictures import CLASSES, COUNTS, in_folders, in_parquet, picture, png, zipped

from harness.errors import UserError
from harness.tasks import IMAGES as NAMES
from harness.tasks import get_task
from harness.tasks.base import DataRequest
from harness.tasks.images import table, task
from harness.tasks.images.classes import class_numbers
from harness.tasks.images.row import ImageExample
from harness.tasks.images.stored import InFile
from harness.tasks.images.task import held_out

# SAFE's Table C.3: images of training, validation and test, from as many as the hub has. The paper
# rounds Food-101 (75,750) and Cars (8,144) to three digits before it splits.
PRINTED = {
    "cifar10": (45_000, 5_000, 10_000, 10),
    "cifar100": (45_000, 5_000, 10_000, 100),
    "fashion_mnist": (54_000, 6_000, 10_000, 10),
    "oxford_flowers": (6_453, 717, 1_020, 102),
    "food101": (68_220, 7_580, 25_300, 101),  # printed: 102 classes
    "country211": (25_920, 2_880, 21_100, 211),
    "stanford_cars": (7_326, 814, 8_040, 196),
    "tiny_imagenet": (90_000, 10_000, 10_000, 200),
}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A folder of data sets with one in it, as somebody would call it."""
    in_folders(tmp_path / "oxford-flowers-sample", tests="val")
    return tmp_path


def test_the_registry_has_all_eight() -> None:
    assert tuple(table.IMAGES) == NAMES
    for name in NAMES:
        made = get_task(name)
        assert (made.family, made.metrics) == ("image", ("accuracy",))
        assert len(made.label_names) in (0, made.num_labels)


@pytest.mark.parametrize("name", PRINTED)
def test_sizes_are_those_that_safe_prints(name: str) -> None:
    train, validation, test, classes = PRINTED[name]
    spec = table.IMAGES[name]
    left, held = held_out([ImageExample(InFile(Path("x")), i) for i in range(spec.rows[0])])
    assert len(left) + len(held) == spec.rows[0]
    assert spec.num_labels == classes
    if name == "country211":  # 28,800 printed, which is neither the hub's 28,000 nor the official
        assert len(held) == 2_800
    else:
        assert [len(left), len(held)] == pytest.approx([train, validation], rel=1e-3)
    assert spec.rows[1] == pytest.approx(test, rel=2e-3)


def test_held_out_rows_are_a_tenth_drawn_once() -> None:
    rows = [ImageExample(InFile(Path("x")), i) for i in range(54)]
    left, held = held_out(rows)
    assert len(held) == 5
    assert sorted(row.label for row in (*left, *held)) == list(range(54))
    assert [row.label for row in left] == sorted(row.label for row in left)
    assert held == held_out(rows)[1]
    assert [row.label for row in held] != list(range(5))
    with pytest.raises(UserError, match="a tenth of the training images, of 4"):
        held_out(rows[:4])


def test_protocols(flowers: Path) -> None:
    data = get_task("oxford_flowers").load(DataRequest(protocol="safe", data_root=flowers))
    sizes = {name: len(rows) for name, rows in data.evaluations.items()}
    assert (len(data.train), sizes) == (18, {"validation": 2, "test": 6})
    assert (data.select_on, data.report_on, data.main_metric) == ("validation", ("test",),
                                                                  "accuracy")  # fmt: skip
    assert data.notes == (
        "part val is the test set", "train has 20 images, the whole set 7,169",
        "val has 6 images, the whole set 1,020", "3 of 102 classes occur",
    )  # fmt: skip
    plain = get_task("oxford_flowers").load(DataRequest(data_root=flowers, train_rows=9))
    assert (len(plain.train), plain.select_on, list(plain.evaluations)) == (9, "test", ["test"])
    assert {row.label for row in plain.train} <= {0, 1, 2}


def test_the_fingerprint_is_of_bytes_and_labels(flowers: Path) -> None:
    def fingerprint() -> str:
        return get_task("oxford_flowers").load(DataRequest(data_root=flowers)).fingerprint

    first = fingerprint()
    assert first == fingerprint()
    file = flowers / "oxford-flowers-sample" / "train" / "cat" / "train-000.png"
    whole = file.read_bytes()
    file.write_bytes(png(picture("train", 1)))
    other = fingerprint()
    file.write_bytes(whole)
    file.rename(file.parent.parent / "dog" / file.name)
    assert len({first, other, fingerprint()}) == 3


def test_the_same_pictures_have_one_fingerprint_in_every_layout(tmp_path: Path) -> None:
    prints = {
        get_task("cifar10").load(DataRequest(folder=root)).fingerprint
        for root in (in_folders(tmp_path / "a"), zipped(tmp_path / "b", "folders"))
    }
    assert len(prints) == 1


def test_a_damaged_image_is_found_before_anything_trains(flowers: Path) -> None:
    file = flowers / "oxford-flowers-sample" / "val" / "frog" / "test-002.png"
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"frog/test-002.png: no image that Pillow can read"):
        get_task("oxford_flowers").load(DataRequest(data_root=flowers))


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (["dog", "cat", "dog"], ("cat", "dog", "frog"), {"dog": 1, "cat": 0}),
        ([2, 0], ("cat", "dog", "frog"), {2: 2, 0: 0}),
        (["2", "1"], (), {"2": 2, "1": 1}),
        (["1", "3", "2"], (), {"1": 0, "2": 1, "3": 2}),  # counted from one
        (["10", "9", "100"], (), {"9": 0, "10": 1, "100": 2}),
        (["n02", "b", "a"], (), {"a": 0, "b": 1, "n02": 2}),
        (["T - Shirt / top", "Frog"], ("frog", "T-shirt/top"), {"T - Shirt / top": 1, "Frog": 0}),
    ],
)
def test_labels_of_any_spelling(labels: list[Any], names: Any, numbers: dict[Any, int]) -> None:
    assert class_numbers({"train": labels, "test": labels[:1]}, 3, names, "here") == numbers


def test_labels_that_fit_no_task() -> None:
    with pytest.raises(UserError, match="here: 4 labels, such as 'a' and 'd', and the task has 3"):
        class_numbers({"train": "abcd"}, 3, (), "here")
    with pytest.raises(UserError, match=r"here: label 'katze' is no class; .*cat, dog"):
        class_numbers({"train": ["cat", "katze"]}, 3, ("cat", "dog"), "here")
    with pytest.raises(UserError, match="label 'catt' of test is not in train; did you mean 'cat'"):
        class_numbers({"train": ["cat", "dog"], "test": ["catt"]}, 3, (), "here")


def test_what_a_request_may_not_say(flowers: Path) -> None:
    for request, told in [
        (DataRequest(data_root=flowers, pair_column="x"), "pair_column 'x': an image has no"),
        (DataRequest(folder=flowers / "none"), "folder .*none does not exist"),
        (DataRequest(data_root=flowers / "none"), "data_root .*none is no folder"),
    ]:
        with pytest.raises(UserError, match=told):
            get_task("oxford_flowers").load(request)
    with pytest.raises(UserError, match=r"no folder cifar10 \(there is: oxford-flowers-sample\)"):
        get_task("cifar10").load(DataRequest(data_root=flowers))
    (flowers / "oxford_flowers").mkdir()
    with pytest.raises(UserError, match="has oxford-flowers-sample, oxford_flowers; name the one"):
        get_task("oxford_flowers").load(DataRequest(data_root=flowers))


def stand_in(monkeypatch: pytest.MonkeyPatch, root: Path, name: str, **fields: Any) -> None:
    """Let a local folder in the hub's layout be the set's repository."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", root.parent / "cache")
    datasets.disable_progress_bars()
    spec = dataclasses.replace(table.IMAGES[name], repository=str(root), **fields)
    monkeypatch.setitem(task.IMAGES, name, spec)


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = in_parquet(tmp_path / "tiny-imagenet", tests="valid")
    stand_in(monkeypatch, root, "tiny_imagenet")
    data = get_task("tiny_imagenet").load(DataRequest(protocol="safe", revision="abc"))
    assert data.source == f"hub {root}@abc"
    assert [len(data.train), *map(len, data.evaluations.values())] == [18, 2, COUNTS["test"]]
    row = data.evaluations["test"][4]
    assert isinstance(row, ImageExample)
    assert row.label == 1
    assert row.stored.image().tobytes() == picture("test", 4).tobytes()
    assert row.stored.where.endswith("valid, row 5")
    local = get_task("tiny_imagenet").load(DataRequest(protocol="safe", folder=root))
    assert local.fingerprint == data.fingerprint


def test_fine_labels_are_those_of_cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as Picture

    root = tmp_path / "cifar100"
    coarse, fine = ClassLabel(names=["animal"]), ClassLabel(names=list(CLASSES))
    features = Features({"img": Picture(), "fine_label": fine, "coarse_label": coarse})
    for part in COUNTS:
        images = [{"bytes": png(picture(part, i)), "path": None} for i in range(3)]
        rows = {"img": images, "fine_label": [2, 1, 0], "coarse_label": [0, 0, 0]}
        path = root / f"{part}-00000-of-00001.parquet"
        Dataset.from_dict(rows, features=features).to_parquet(path)
    stand_in(monkeypatch, root, "cifar100")
    data = get_task("cifar100").load(DataRequest())
    assert [row.label for row in data.train] == [2, 1, 0]  # type: ignore[attr-defined]
    asked = get_task("cifar100").load(DataRequest(label_column="coarse_label"))
    assert [row.label for row in asked.train] == [0, 0, 0]  # type: ignore[attr-defined]


def test_what_the_hub_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, tmp_path / "nowhere", "food101")
    with pytest.raises(UserError, match=r"cannot load .*nowhere@main from the hub.*data_root"):
        get_task("food101").load(DataRequest())
    root = in_parquet(tmp_path / "other", label="kind")
    stand_in(monkeypatch, root, "food101")
    with pytest.raises(UserError, match=r"none of the columns label, class.* among image, kind"):
        get_task("food101").load(DataRequest())
    with pytest.raises(UserError, match="label_column 'kin': did you mean 'kind'"):
        get_task("food101").load(DataRequest(label_column="kin"))
    data = get_task("food101").load(DataRequest(label_column="kind"))
    assert "part test is the test set" not in data.notes
