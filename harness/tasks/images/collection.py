"""Images with labels in a folder or in a zip archive: by folders of classes, or by a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.errors import UserError
from harness.tasks.images.row import Labelled
from harness.tasks.images.stored import InFile, InZip, Stored, open_zip
from methods.wording import nearest

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TABLES = {".csv": ",", ".tsv": "\t"}
# How the columns of a table are called, the first that is there.
FILE_COLUMNS = ("file", "file_name", "filename", "image", "path", "name")
LABEL_COLUMNS = ("label", "class", "fine_label", "category", "target")
SPLIT_COLUMNS = ("split", "part", "subset")
TRAIN = ("train", "training")
TEST = ("test", "testing", "valid", "validation", "val", "dev", "eval")
Parts = dict[str, list[Labelled]]


class Table(NamedTuple):
    """A table of labels: its place, header and rows with their line numbers."""

    where: str
    header: list[str]
    rows: list[tuple[int, list[str]]]


def by_folders(images: Mapping[str, Stored], where: str) -> Parts | None:
    """Sort images by `PART/CLASS/.../FILE`, or by `CLASS/FILE` into one part called train.

    None: they do not lie like this, or all in one class.
    """
    paths = {name: PurePosixPath(name).parts for name in images}
    tops = {parts[0].lower() for parts in paths.values() if len(parts) > 1}
    parted = bool(tops) and tops <= {*TRAIN, *TEST}
    depth = 3 if parted else 2
    if not paths or any(len(parts) < depth for parts in paths.values()):
        return None
    found: Parts = {}
    for name in sorted(images):
        parts = paths[name]
        part = parts[0].lower() if parted else TRAIN[0]
        found.setdefault(part, []).append(Labelled(images[name], parts[depth - 2]))
    classes = {row.label for rows in found.values() for row in rows}
    return found if len(classes) > 1 else None


def by_table(
    images: Mapping[str, Stored], table: Table, columns: tuple[str | None, str | None]
) -> Parts:
    """Label images by a table of files, splits (where it has them) and labels.

    Args:
        images: by name.
        table: one row an image.
        columns: names of those of files and labels; None: the usual ones.

    Raises:
        UserError: a column or an image is missing.
    """
    file = _column(table, "text_column", columns[0], FILE_COLUMNS)
    label = _column(table, "label_column", columns[1], LABEL_COLUMNS)
    splits = [name for name in SPLIT_COLUMNS if name in table.header]
    split = table.header.index(splits[0]) if splits else None
    found: Parts = {}
    for line, row in table.rows:
        if len(row) != len(table.header):
            raise UserError(
                f"{table.where}, line {line}: {len(row)} columns where the header has "
                f"{len(table.header)}"
            )
        stored = images.get(PurePosixPath(row[file]).as_posix())
        if stored is None:
            raise UserError(f"{table.where}, line {line}: there is no image {row[file]!r}")
        part = row[split].lower() if split is not None else TRAIN[0]
        found.setdefault(part, []).append(Labelled(stored, row[label]))
    return found


def _column(table: Table, key: str, given: str | None, usual: Sequence[str]) -> int:
    names = [given] if given is not None else usual
    for name in names:
        if name in table.header:
            return table.header.index(name)
    if given is not None:
        raise UserError(f"{table.where}: {key} {given!r}: {nearest(given, table.header)}")
    raise UserError(
        f"{table.where}: none of the columns {', '.join(usual)} in its header "
        f"({', '.join(table.header)}); name it with {key}"
    )


def images_in(folder: Path) -> dict[str, Stored]:
    """Return the images at and below a folder by their paths from there; no hidden ones."""
    files = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    names = {path.relative_to(folder).as_posix(): path for path in files if path.is_file()}
    return {name: InFile(path) for name, path in names.items() if not _is_hidden(name)}


def images_of_zip(archive: Path) -> dict[str, Stored]:
    """Return the images of a zip archive by their names; no hidden ones.

    Raises:
        UserError: it is no zip archive.
    """
    return {
        name: InZip(archive, name)
        for name in open_zip(archive).namelist()
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not _is_hidden(name)
    }


def _is_hidden(name: str) -> bool:
    """Tell what a Finder or an editor puts beside images."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def table_in(folder: Path) -> Table | None:
    """Return the table of labels that lies in a folder: its only one, or the one called labels.

    Raises:
        UserError: several could be it.
    """
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLES]
    called = [path for path in files if path.stem.lower() in {"labels", "metadata"}] or files
    tables = [_read(path.read_bytes(), path.name, str(path)) for path in called]
    tables = [table for table in tables if set(table.header) & set(FILE_COLUMNS)] or tables
    if len(tables) > 1:
        which = " or ".join(table.where for table in tables)
        raise UserError(f"which table has the labels, {which}? call it labels.csv")
    return tables[0] if tables else None


def table_of_zip(archive: Path) -> Table | None:
    """Return the table of labels inside an archive, None where there is none."""
    names = [name for name in open_zip(archive).namelist()
             if PurePosixPath(name).suffix.lower() in TABLES and not _is_hidden(name)]  # fmt: skip
    if len(names) != 1:
        return None
    return _read(InZip(archive, names[0]).read(), names[0], f"{archive}: {names[0]}")


def _read(data: bytes, name: str, where: str) -> Table:
    try:
        text = data.decode("utf-8-sig")
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=TABLES[PurePosixPath(name).suffix.lower()],
            strict=True,
        )
        rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: no table in UTF-8: {error}") from None
    if len(rows) < 2:
        raise UserError(f"{where}: no rows")
    return Table(where, rows[0][1], rows[1:])
