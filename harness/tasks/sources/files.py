"""One file of any kind, plain, as .gz or inside of a .zip: which kind it is, its name says."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import UserError
from harness.tasks.sources.delimited import csv_table, lines_table, tsv_table
from harness.tasks.sources.json_rows import json_table, jsonl_table
from harness.tasks.sources.parquet import parquet_table
from harness.tasks.sources.table import Table
from harness.untrusted import bytes_of, said
from methods.wording import nearest

TEXTS: dict[str, Callable[[str, str], Table]] = {
    ".tsv": tsv_table,
    ".csv": csv_table,
    ".json": json_table,
    ".jsonl": jsonl_table,
    ".txt": lines_table,
}
SUFFIXES = (*TEXTS, ".parquet")
# All that opening and unpacking raise on bytes that are not what they should be.
WRONG = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error,
         zipfile.BadZipFile)  # fmt: skip


def read_rows(path: Path, *, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a file: of text files as strings, of the others as what they hold.

    Args:
        path: ends in .tsv, .csv, .json, .jsonl, .txt (a line a row, column `text`) or .parquet,
            each also with .gz behind it. A zip
            with one such file is read as that file; `ARCHIVE.zip/FOLDER/FILE` names one of several.
        columns: to return, which every row must have; None: all.

    Raises:
        UserError: with the file, and the line or the row where it is one's fault.
    """
    table = read_table(path)
    return list(table.rows) if columns is None else table.only(columns)


def read_table(path: Path) -> Table:
    """Return the rows of a file as `read_rows` does, with their places.

    Raises:
        UserError: as `read_rows`.
    """
    if archive_of(path) == path:
        path = _only_member(path)
    kind, source = kind_of(path.name), str(path)
    if kind is None:
        content_of(path)  # where it is not there, that is what is wrong
        raise UserError(f"{source}: {_wanted(path.name)}")
    if kind == ".parquet":
        return parquet_table(content_of(path), source)
    return TEXTS[kind](text_of(path), source)


def text_of(path: Path) -> str:
    """Return the text of a file as `content_of` finds it, without a byte order mark.

    Raises:
        UserError: as `content_of`; or it is not UTF-8.
    """
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: {said(error)}") from None


def content_of(path: Path) -> bytes:
    """Return what a file, or a member of a zip, holds; unpacked where it ends in .gz.

    Raises:
        UserError: it is not there, or damaged.
    """
    archive = archive_of(path)
    try:
        if archive is None:
            content = bytes_of(path)
        else:
            with zipfile.ZipFile(archive) as opened:
                content = opened.read(path.relative_to(archive).as_posix())
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_beside(path)}") from None
    except KeyError:
        raise UserError(
            f"{path}: not in the archive; {nearest(path, map(str, _all_in(archive)))}"
        ) from None
    except WRONG as error:
        raise UserError(f"{path}: cannot be read: {said(error)}") from None


def archive_of(path: Path) -> Path | None:
    """Return the zip file that the path is, or leads into; None where there is none."""
    for each in (path, *path.parents):
        if each.suffix == ".zip" and each.is_file():
            return each
    return None


def members(archive: Path) -> list[Path]:
    """Return the files of a zip that are of a kind that is read here, each as `ARCHIVE.zip/FILE`.

    Raises:
        UserError: it is no zip.
    """
    kinds = {path: kind_of(path.name) for path in _all_in(archive)}
    tables = [path for path, kind in kinds.items() if kind not in (None, ".txt")]
    return tables or [path for path, kind in kinds.items() if kind]  # beside a table it is a note


def kind_of(name: str) -> str | None:
    """Return the suffix that says how a file is read, without .gz; None: it is not read here."""
    suffix = PurePosixPath(name.removesuffix(".gz")).suffix
    return suffix if suffix in SUFFIXES and not name.startswith(".") else None


def _all_in(archive: Path | None) -> list[Path]:
    if archive is None:
        return []
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [PurePosixPath(entry.filename) for entry in opened.infolist()
                     if not entry.is_dir()]  # fmt: skip
    except WRONG as error:
        raise UserError(f"{archive}: cannot be read: {said(error)}") from None
    return [archive / name for name in names if "__MACOSX" not in name.parts]


def _only_member(archive: Path) -> Path:
    found = members(archive)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{archive}: holds none of {', '.join(SUFFIXES)}")
    raise UserError(f"{archive}: which one, {' or '.join(map(str, found[:4]))}?")


def _wanted(name: str) -> str:
    return f"{name!r} ends in none of {', '.join(SUFFIXES)} (each also as .gz, or in a .zip)"


def _beside(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"no such folder: {folder}"
    names = [each.name for each in folder.iterdir() if not each.name.startswith(".")]
    return nearest(path.name, names) if len(names) <= 50 else f"the folder is {folder}"
