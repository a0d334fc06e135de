"""Images with labels in a folder or in a zip archive: by folders of classes, or by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.errors import UserError
from harness.tasks.images.row import Labelled
from harness.tasks.images.stored import InFile, InZip, Stored, open_zip
from harness.tasks.sources import Table, read_table
from harness.tasks.sources.files import kind_of, members
from methods.wording import nearest

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TABLES = {".csv", ".tsv", ".json", ".jsonl"}
CALLED = {"labels", "metadata"}
# How the columns of a table are called, the first that is there.
FILE_COLUMNS = ("file", "file_name", "filename", "image", "path", "name")
LABEL_COLUMNS = ("label", "class", "fine_label", "category", "target")
SPLIT_COLUMNS = ("split", "part", "subset")
TRAIN = ("train", "training")
TEST = ("test", "testing", "valid", "validation", "val", "dev", "eval")
Parts = dict[str, list[Labelled]]


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
    split = next((name for name in SPLIT_COLUMNS if name in table.columns), None)
    found: Parts = {}
    for index in range(len(table.rows)):
        name = str(table.value(index, file))
        stored = images.get(PurePosixPath(name).as_posix())
        if stored is None:
            raise UserError(f"{table.place(index)}: there is no image {name!r}")
        part = TRAIN[0] if split is None else str(table.value(index, split)).lower()
        found.setdefault(part, []).append(Labelled(stored, table.value(index, label)))
    if not found:
        raise UserError(f"{table.source}: no rows")
    return found


def _column(table: Table, key: str, given: str | None, usual: Sequence[str]) -> str:
    for name in [given] if given is not None else usual:
        if name in table.columns:
            return name
    if given is not None:
        raise UserError(f"{table.source}: {key} {given!r}: {nearest(given, table.columns)}")
    raise UserError(
        f"{table.source}: none of the columns {', '.join(usual)} in its header "
        f"({', '.join(table.columns)}); name it with {key}"
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
        UserError: several could be it, or it is damaged.
    """
    files = [path for path in sorted(folder.iterdir()) if kind_of(path.name) in TABLES]
    called = [path for path in files if path.name.partition(".")[0].lower() in CALLED] or files
    tables = [read_table(path) for path in called]
    tables = [table for table in tables if {*table.columns} & {*FILE_COLUMNS}] or tables
    if len(tables) > 1:
        which = " or ".join(table.source for table in tables)
        raise UserError(f"which table has the labels, {which}? call it labels.csv")
    return tables[0] if tables else None


def table_of_zip(archive: Path) -> Table | None:
    """Return the only table inside of an archive; None where there is none, or several are.

    Raises:
        UserError: it is damaged.
    """
    found = [path for path in members(archive) if kind_of(path.name) in TABLES]
    return read_table(found[0]) if len(found) == 1 else None
