"""Every layout of an image set gives the same pictures and labels; what is wrong is told."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import (
    CLASSES,
    COUNTS,
    colours,
    in_batches,
    in_folders,
    in_idx,
    in_parquet,
    picture,
    png,
    with_table,
    zipped,
)
from PIL import Image

from harness.errors import UserError
from harness.tasks.images import stored
from harness.tasks.images.sources import local_parts

Write = Callable[[Path], Path]
BY_NAME: dict[str, Write] = {
    "folders": in_folders,
    "table": with_table,
    "zip": zipped,
    "zip, table inside": lambda root: zipped(root, "inside"),
    "zip of folders": lambda root: zipped(root, "folders"),
    "a zip itself": lambda root: zipped(root, "folders") / "images.zip",
}
BY_NUMBER: dict[str, Write] = {
    "parquet": in_parquet,
    "parquet, other names": lambda root: in_parquet(root, "img", "fine_label", "valid"),
    "cifar10": in_batches,
    "cifar100": lambda root: in_batches(root, fine=True),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("layout", [*BY_NAME, *BY_NUMBER])
def test_every_layout_has_the_same_pictures(tmp_path: Path, layout: str) -> None:
    parts = local_parts({**BY_NAME, **BY_NUMBER}[layout](tmp_path / "set"))
    assert len(parts) == len(COUNTS)
    for name, rows in parts.items():
        part = "train" if name == "train" else "test"
        assert len(rows) == COUNTS[part]
        seen = {(row.label, *colours(row.stored.image())) for row in rows}
        label = (lambda i: CLASSES[i % 3]) if layout in BY_NAME else (lambda i: i % 3)
        assert seen == {(label(i), *colours(picture(part, i))) for i in range(COUNTS[part])}


@pytest.mark.parametrize("packed", [False, True])
def test_grey_arrays_become_rgb(tmp_path: Path, packed: bool) -> None:
    parts = local_parts(in_idx(tmp_path / "set", packed))
    assert {part: len(rows) for part, rows in parts.items()} == COUNTS
    for part, rows in parts.items():
        for i, row in enumerate(rows):
            grey = picture(part, i).convert("L")
            assert row.stored.image().tobytes() == grey.convert("RGB").tobytes()
            assert (row.label, row.stored.read()) == (i % 3, grey.tobytes())


def test_classes_alone_are_one_part(tmp_path: Path) -> None:
    root = in_folders(tmp_path / "set") / "train"
    assert {name: len(rows) for name, rows in local_parts(root).items()} == {"train": 20}


def test_images_are_decoded_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "decoded", lambda *_: pytest.fail("decoded"))
    for name, write in {**BY_NAME, **BY_NUMBER}.items():
        local_parts(write(tmp_path / name))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_every_mode_becomes_rgb() -> None:
    red = Image.new("RGB", (4, 4), (200, 10, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    upright = Image.new("RGB", (4, 8), (1, 2, 3))
    for data, size, colour in [
        (encoded(red, "PNG"), (4, 4), (200, 10, 30)),
        (encoded(red.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"), (4, 4), (200, 10, 30)),
        (encoded(red.convert("RGBA"), "PNG"), (4, 4), (200, 10, 30)),
        (encoded(Image.new("L", (4, 4), 77), "PNG"), (4, 4), (77, 77, 77)),
        (encoded(Image.new("1", (4, 4), 1), "PNG"), (4, 4), (255, 255, 255)),
        (encoded(Image.new("I;16", (4, 4), 0x8000), "PNG"), (4, 4), (128, 128, 128)),
        (encoded(upright, "PNG", exif=exif), (8, 4), (1, 2, 3)),
    ]:
        image = stored.decoded(data, "here")
        assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", size, colour)


def without(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


def cut(file: str, size: int) -> Callable[[Path], None]:
    return lambda root: (root / file).write_bytes((root / file).read_bytes()[:size])


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda root: (root / file).write_text((root / file).read_text().replace(old, new))


@pytest.mark.parametrize(
    ("write", "damage", "told"),
    [
        (with_table, without("all/train-003.png"), r"csv, line 5: there is no image 'all/tr"),
        (with_table, replaced("labels.csv", "label", "kind"), "none of the columns label, c.*ki"),
        (with_table, replaced("labels.csv", "train,cat", "train"), "labels.csv, line 2: 2 "),
        (with_table, cut("labels.csv", 21), "labels.csv: no rows"),
        (with_table, without("labels.csv"), "26 images without labels; taken are .*IDX files"),
        (zipped, cut("images.zip", 900), r"images.zip: no zip archive"),
        (zipped, replaced("labels.csv", "train-001.png", "train-01.png"), "line 3: there is no im"),
        (in_idx, without("t10k-labels-idx1-ubyte"), r"t10k-images-idx3-ubyte: no labels beside"),
        (in_idx, cut("train-images-idx3-ubyte", 500), "484 values where its header says 2880"),
        (in_idx, cut("train-labels-idx1-ubyte", 3), "no IDX file of bytes with 1 sizes"),
        (lambda root: in_idx(root, True), cut("t10k-images-idx3-ubyte.gz", 40), "cannot be read"),
        (in_batches, cut("test_batch.bin", 4000), "4000 bytes, no multiple of an image's 3073"),
        (in_parquet, cut("data/train-00000-of-00001.parquet", 300), "no readable Parquet"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_set(
    tmp_path: Path, write: Write, damage: Callable[[Path], None], told: str
) -> None:
    root = write(tmp_path / "set")
    damage(root)
    with pytest.raises(UserError, match=told) as caught:
        local_parts(root)
    assert str(root) in str(caught.value)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04N.")
    with pytest.raises(UserError, match="data_batch_1 is a pickle, which is never read"):
        local_parts(tmp_path)


def test_damaged_images_are_named(tmp_path: Path) -> None:
    root = in_folders(tmp_path / "set")
    file = root / "train" / "cat" / "train-000.png"
    whole = png(picture("train", 0))
    for data in (b"", b"<html>", whole[:20], whole[:60], whole.replace(b"IDAT", b"IDAX")):
        file.write_bytes(data)
        (row,) = [row for row in local_parts(root)["train"] if file.name in row.stored.where]
        with pytest.raises(UserError, match=re.escape(f"{file}: no image that Pillow can read")):
            row.stored.checked()
        with pytest.raises(UserError, match=re.escape(str(file))):
            row.stored.image()


def test_columns_may_be_named(tmp_path: Path) -> None:
    root = with_table(tmp_path / "set")
    replaced("labels.csv", "file,split,label", "picture,split,kind")(root)
    assert len(local_parts(root, "picture", "kind")["train"]) == COUNTS["train"]
    with pytest.raises(UserError, match=r"label_column 'kid': did you mean 'kind'"):
        local_parts(root, "picture", "kid")


def test_pillow_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=r"need Pillow.*headroom-bench\[vision\]"):
        stored.decoded(b"", "here")
