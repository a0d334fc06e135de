"""Images as plain arrays: IDX files (MNIST and its kin) and the binary batches of CIFAR."""

from __future__ import annotations

import math
import re
from pathlib import Path

from harness.errors import UserError
from harness.tasks.images.collection import TEST, TRAIN, Parts
from harness.tasks.images.row import Labelled
from harness.tasks.images.stored import Raw
from harness.tasks.sources.files import content_of

# How the published files are called: `train-images-idx3-ubyte.gz`, its labels `idx1`.
IDX = re.compile(r"(?P<part>train|t10k|test)[-_]images[-_.]idx3[-_]ubyte(\.gz)?")
UNSIGNED_BYTE = 8  # the type of an IDX file's values, third byte of its magic number
# File of a binary batch -> part, and label bytes of an image, of which the last is the fine one.
CIFAR = {
    r"data_batch_\d+\.bin": (TRAIN[0], 1),
    r"test_batch\.bin": (TEST[0], 1),
    r"train\.bin": (TRAIN[0], 2),
    r"test\.bin": (TEST[0], 2),
}
CIFAR_SIDE, CIFAR_PLANES = 32, 3
PICKLED = re.compile(r"data_batch_\d+|test_batch")


def idx_parts(folder: Path) -> Parts | None:
    """Return the images of a folder's IDX files by part; None where there are none.

    Raises:
        UserError: labels are missing, or a file is not what its name says.
    """
    found: Parts = {}
    for path in sorted(folder.iterdir()):
        match = IDX.fullmatch(path.name)
        if match:
            part = TRAIN[0] if match["part"] == TRAIN[0] else TEST[0]
            found[part] = _labelled_idx(path)
    return found or None


def _labelled_idx(path: Path) -> list[Labelled]:
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    choice = (beside, beside.with_suffix("") if beside.suffix == ".gz" else Path(f"{beside}.gz"))
    labels = next((file for file in choice if file.is_file()), None)
    if labels is None:
        raise UserError(f"{path}: no labels beside it ({beside.name})")
    data, (count, height, width), start = _idx(path, 3)
    classes, (others,), at = _idx(labels, 1)
    if count != others:
        raise UserError(f"{path} has {count} images, {labels} has {others} labels")
    area = height * width
    return [
        Labelled(Raw(data, start + i * area, 1, height, width, str(path), i), classes[at + i])
        for i in range(count)
    ]


def _idx(path: Path, num_sizes: int) -> tuple[bytes, tuple[int, ...], int]:
    """Return an IDX file, the sizes in its header, and where its values begin."""
    data = content_of(path)
    start = 4 + 4 * num_sizes
    sizes = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if data[:4] != bytes((0, 0, UNSIGNED_BYTE, num_sizes)):
        raise UserError(f"{path}: no IDX file of bytes with {num_sizes} sizes")
    if len(data) - start != math.prod(sizes):
        raise UserError(
            f"{path}: {len(data) - start} values where its header says {math.prod(sizes)}"
        )
    return data, sizes, start


def cifar_parts(folder: Path) -> Parts | None:
    """Return the images of CIFAR's binary batches by part; None where there are none.

    Raises:
        UserError: a batch is cut off, or there are only pickled ones, which are never read.
    """
    found: Parts = {}
    for path in sorted(folder.iterdir()):
        for pattern, (part, num_labels) in CIFAR.items():
            if re.fullmatch(pattern, path.name):
                found.setdefault(part, []).extend(_batch(path, num_labels))
    pickled = [path.name for path in folder.iterdir() if PICKLED.fullmatch(path.name)]
    if pickled and not found:
        raise UserError(
            f"{folder}: {min(pickled)} is a pickle, which is never read; take the binary version "
            "of the data set"
        )
    return found or None


def _batch(path: Path, num_labels: int) -> list[Labelled]:
    data, area = content_of(path), CIFAR_SIDE * CIFAR_SIDE
    size = num_labels + CIFAR_PLANES * area
    if not data or len(data) % size:
        raise UserError(f"{path}: {len(data)} bytes, no multiple of an image's {size}")
    return [
        Labelled(
            Raw(data, i * size + num_labels, CIFAR_PLANES, CIFAR_SIDE, CIFAR_SIDE, str(path), i),
            data[i * size + num_labels - 1],
        )
        for i in range(len(data) // size)
    ]
