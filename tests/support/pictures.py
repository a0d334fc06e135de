"""Small pictures of a few classes, in every layout that image sets come in."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

CLASSES = ("cat", "dog", "frog")
COUNTS = {"train": 20, "test": 6}
SIDE = 12


def picture(part: str, number: int, side: int = SIDE) -> Image.Image:
    """Return a picture whose left half has its class's colour and whose right half says which."""
    image = Image.new("RGB", (side, side), (40 * (number % 7), 10 * number, 99))
    image.paste(tuple(255 if i == number % 3 else 0 for i in range(3)), (0, 0, side // 2, side))
    return image


def named(part: str, number: int) -> tuple[str, str]:
    """Return file name and class of a picture."""
    return f"{part}-{number:03}.png", CLASSES[number % 3]


def png(image: Image.Image) -> bytes:
    """Return the bytes of a PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def pictures() -> dict[tuple[str, int], bytes]:
    """Return the bytes of every picture."""
    return {
        (part, i): png(picture(part, i)) for part, count in COUNTS.items() for i in range(count)
    }


def in_folders(root: Path, tests: str = "test") -> Path:
    """Write PART/CLASS/FILE."""
    for (part, number), data in pictures().items():
        name, label = named(part, number)
        file = root / (tests if part == "test" else part) / label / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


def labels_csv(folder: str = "") -> str:
    """Return a table of file, split and label."""
    lines = [f"{folder}{name},{part},{label}" for part, i in pictures()
             for name, label in [named(part, i)]]  # fmt: skip
    return "\n".join(["file,split,label", *lines]) + "\n"


def with_table(root: Path) -> Path:
    """Write files in one folder, and a table with a byte order mark and CRLF beside it."""
    (root / "all").mkdir(parents=True)
    for (part, number), data in pictures().items():
        (root / "all" / named(part, number)[0]).write_bytes(data)
    text = labels_csv("all/").replace("\n", "\r\n")
    (root / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    return root


def zipped(root: Path, table: str = "beside") -> Path:
    """Write one zip archive; its table lies beside it or inside, or its folders are classes."""
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for (part, number), data in pictures().items():
            name, label = named(part, number)
            archive.writestr(f"{part}/{label}/{name}" if table == "folders" else name, data)
        archive.writestr("__MACOSX/._train-000.png", b"no image")
        if table == "inside":
            archive.writestr("labels.csv", labels_csv())
    if table == "beside":
        (root / "labels.csv").write_text(labels_csv())
    return root


def in_parquet(root: Path, image: str = "image", label: str = "label", tests: str = "test") -> Path:
    """Write a repository as the hub has it: a Parquet file for each split."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as Picture

    features = Features({image: Picture(), label: ClassLabel(names=list(CLASSES))})
    (root / "data").mkdir(parents=True)
    for part, count in COUNTS.items():
        rows = {
            image: [{"bytes": png(picture(part, i)), "path": None} for i in range(count)],
            label: [i % 3 for i in range(count)],
        }
        name = tests if part == "test" else part
        path = root / "data" / f"{name}-00000-of-00001.parquet"
        Dataset.from_dict(rows, features=features).to_parquet(path)
    return root


def in_idx(root: Path, packed: bool = False) -> Path:
    """Write the four files of MNIST and its kin, in grey."""
    root.mkdir(parents=True)
    for part, count in COUNTS.items():
        stem = "train" if part == "train" else "t10k"
        pixels = b"".join(picture(part, i).convert("L").tobytes() for i in range(count))
        _write(root / f"{stem}-images-idx3-ubyte", packed,
               struct.pack(">BBBBIII", 0, 0, 8, 3, count, SIDE, SIDE) + pixels)  # fmt: skip
        labels = bytes(i % 3 for i in range(count))
        _write(root / f"{stem}-labels-idx1-ubyte", packed,
               struct.pack(">BBBBI", 0, 0, 8, 1, count) + labels)  # fmt: skip
    return root


def in_batches(root: Path, fine: bool = False) -> Path:
    """Write CIFAR's binary batches: of CIFAR-100 where `fine`, with a coarse label before it."""
    root.mkdir(parents=True)
    names = {"train": "train.bin", "test": "test.bin"} if fine else \
        {"train": "data_batch_1.bin", "test": "test_batch.bin"}  # fmt: skip
    for part, count in COUNTS.items():
        data = b""
        for i in range(count):
            planes = picture(part, i, 32).split()
            data += bytes([7, i % 3] if fine else [i % 3]) + b"".join(p.tobytes() for p in planes)
        (root / names[part]).write_bytes(data)
    return root


def _write(path: Path, packed: bool, data: bytes) -> None:
    path = path.with_name(path.name + ".gz") if packed else path
    path.write_bytes(gzip.compress(data) if packed else data)


def colours(image: Any) -> list[tuple[int, ...]]:
    """Return the colours of the upper corners."""
    return [image.getpixel((0, 0)), image.getpixel((image.width - 1, 0))]
