"""A folder, or a zip, with one part of the data a file: training, validation, test."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.tasks.base import DataRequest
from harness.tasks.sources.files import archive_of, kind_of, members

# What the files of a part are called, by itself or before the number of a shard.
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test",),
}
SHARD = r"(-[0-9]+-of-[0-9]+)?"


@dataclass(frozen=True)
class Parts:
    """The files of each part, in their order; empty where there are none."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    test: tuple[Path, ...]


def find_folder(
    task: str,
    request: DataRequest,
    is_usual: Callable[[str], bool],
    lacking: Callable[[Sequence[str]], str],
    *,
    archives: bool = False,
) -> Path:
    """Return the task's own folder, or the one in `data_root` that bears one of its usual names.

    Args:
        task: its name.
        request: says where to look; not the hub.
        is_usual: tells whether a name is one of those.
        lacking: says what `data_root` does not have, given the names that are there.
        archives: a file does as well, such as a zip.

    Raises:
        UserError: there is none, or several.
    """

    def does(path: Path) -> bool:
        return path.is_dir() or (archives and path.exists())

    if request.folder is not None:
        if does(request.folder):
            return request.folder
        raise UserError(f"task {task}: folder {request.folder} does not exist")
    root = request.data_root
    if root is None or not root.is_dir():
        raise UserError(f"data_root {root} is no folder")
    there = sorted(path.name for path in root.iterdir() if does(path))
    found = [name for name in there if is_usual(name)]
    if len(found) == 1:
        return root / found[0]
    if found:
        raise UserError(f"task {task}: {root} has {', '.join(found)}; name the one with folder")
    raise UserError(f"task {task}: {root} has no {lacking(there)}")


def find_parts(folder: Path) -> Parts:
    """Find the parts by the names of their files: `train.csv`, `dev.csv`, shards of a part.

    Raises:
        UserError: there is no training file, or a part has two that are no shards.
    """
    archive = archive_of(folder)
    if archive is None:
        there = sorted(each for each in folder.iterdir() if each.is_file())
    else:
        there = sorted(each for each in members(archive) if each.is_relative_to(folder))
    parts = Parts(**{part: _files_of(names, there) for part, names in NAMES.items()})
    if not parts.train:
        shown = ", ".join(path.name for path in there) or "no files"
        raise UserError(f"{folder}: no file of training rows, such as train.csv (there: {shown})")
    return parts


def _files_of(names: Sequence[str], there: Sequence[Path]) -> tuple[Path, ...]:
    pattern = re.compile(rf"({'|'.join(names)}){SHARD}\.[a-z]+(\.gz)?")
    fitting = [(path, pattern.fullmatch(path.name)) for path in there if kind_of(path.name)]
    found = [(path, match) for path, match in fitting if match]
    if len(found) > 1 and not all(match[2] for _, match in found):
        listed = " or ".join(str(path) for path, _ in found)
        raise UserError(f"which one, {listed}?")
    return tuple(path for path, _ in found)
