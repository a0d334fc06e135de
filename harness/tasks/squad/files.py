"""SQuAD from local files: JSON in its own form, or flat rows as JSON Lines, JSON or Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.tasks.base import DataRequest
from harness.tasks.sources import folders
from harness.tasks.sources.files import kind_of, read_rows, text_of
from harness.tasks.squad.rows import Part, from_articles, from_flat

FOLDER = "squad"  # how the names of folders with these data begin
_KIND = r"\.(json|jsonl|parquet)(\.gz)?"
# What a file of each part may be called: train-v1.1.json, train-00000-of-00001.parquet, dev.jsonl.
_NAMES = {"train": rf"train\b.*{_KIND}", "dev": rf"(dev|valid|validation)\b.*{_KIND}"}


def find_folder(request: DataRequest) -> Path:
    """Return the task's own folder, or the one in `data_root` that is called `squad...`.

    Raises:
        UserError: there is none, or several.
    """

    def lacking(there: Sequence[str]) -> str:
        return (
            f"folder whose name begins with {FOLDER} (there are: {', '.join(there) or 'none'}); "
            "name another one with folder"
        )

    return folders.find_folder(
        "squad", request, lambda name: name.lower().startswith(FOLDER), lacking
    )


def find_parts(folder: Path) -> dict[str, Path]:
    """Return the folder's files: `train` and `dev`, or `all` for the only file with questions.

    Raises:
        UserError: one is missing, or there are several of a part.
    """
    files = sorted(path for path in folder.iterdir() if re.search(rf"{_KIND}$", path.name))
    if len(files) == 1:
        return {"all": files[0]}
    found = {}
    for part, pattern in _NAMES.items():
        named = [path for path in files if re.fullmatch(pattern, path.name)]
        if len(named) != 1:
            there = ", ".join(path.name for path in named or files) or "none"
            count = f"{len(named)} files" if named else "no file"
            raise UserError(
                f"{folder}: {count} for {part}, one expected, such as {part}-v1.1.json, "
                f"{part}.jsonl or {part}.parquet (there are: {there})"
            )
        found[part] = named[0]
    return found


def read(path: Path) -> Part:
    """Return the questions of one file.

    Raises:
        UserError: it cannot be read, or is not of a form that is known.
    """
    if kind_of(path.name) == ".json":
        try:
            document = json.loads(text_of(path))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        if isinstance(document, dict):
            return from_articles(document, str(path))
    return from_flat(read_rows(path), str(path))
