"""Labelled images from a folder or a file, whatever it holds; part by part, as it calls them."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.tasks.images.arrays import cifar_parts, idx_parts
from harness.tasks.images.collection import (
    Parts,
    by_folders,
    by_table,
    images_in,
    images_of_zip,
    table_in,
    table_of_zip,
)
from harness.tasks.images.stored import Stored
from harness.tasks.images.tables import parquet_parts
from harness.tasks.sources import Table

TAKEN = (
    "Parquet files with an image column, IDX files, CIFAR's binary batches, folders "
    "PART/CLASS/FILE or CLASS/FILE, or images (files or one zip) with a labels.csv of the columns "
    "file, label and split"
)


def local_parts(
    path: Path,
    image_column: str | None = None,
    label_column: str | None = None,
    usual_label: str = "label",
) -> Parts:
    """Return the labelled images of a folder or of a zip archive by part, such as train and test.

    What knows of no parts has one, train. Images are read when they are asked for; labels are as
    they are spelled, those of a folder its name.

    Args:
        path: folder or archive.
        image_column: its name in a table; None: the usual ones.
        label_column: the same of the label.
        usual_label: a further name that a label's column may have.

    Raises:
        UserError: there is nothing of the kind, or it is not what it should be.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    columns = (image_column, label_column)
    if path.is_file():
        return _labelled(path, images_of_zip(path), table_of_zip(path), columns)
    for found in (parquet_parts(path, columns, usual_label), idx_parts(path), cifar_parts(path)):
        if found is not None:
            return found
    archives, images = sorted(path.glob("*.zip")), images_in(path)
    if images or not archives:
        return _labelled(path, images, table_in(path), columns)
    if len(archives) > 1:
        names = ", ".join(archive.name for archive in archives)
        raise UserError(f"{path}: which archive has the images, {names}?")
    table = table_in(path) or table_of_zip(archives[0])
    return _labelled(archives[0], images_of_zip(archives[0]), table, columns)


def _labelled(
    path: Path,
    images: dict[str, Stored],
    table: Table | None,
    columns: tuple[str | None, str | None],
) -> Parts:
    parts = by_table(images, table, columns) if table else by_folders(images, str(path))
    if parts is None:
        what = f"{len(images)} images without labels" if images else "no images"
        raise UserError(f"{path}: {what}; taken are {TAKEN}")
    return parts
