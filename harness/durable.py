"""Files and folders that a reader finds whole or not at all, whatever is killed when.

All that is written here is written beside its place first, brought to the disk, and then renamed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAFT = re.compile(r"\..+\.(\d+)\.tmp")  # of a file; the writer's process
NEW = ".new"  # of a folder


def write_text(file: Path, text: str) -> None:
    """Write a text as `write_bytes` does, in UTF-8."""
    write_bytes(file, text.encode("utf-8"))


def write_bytes(file: Path, content: bytes) -> None:
    """Write the file in place of an older one; makes its folder.

    Several processes may write one file: the last one's content stays. Where writing fails (a full
    disk), the older file stays, and nothing is left beside it.

    Raises:
        OSError: with the file's name, as it was not written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(content)
        _to_disk(draft)
        draft.replace(file)
    except BaseException as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):  # of a full disk the system says it without a name
            raise OSError(error.errno, error.strerror, str(file)) from None
        raise
    _to_disk(file.parent)


def draft_of(folder: Path) -> Path:
    """Return where a folder is written before it takes its place."""
    return folder.with_name(folder.name + NEW)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well.

    Killed between the removal of the old one and the rename, only `draft_of` is there, whole.
    """
    draft = draft_of(folder)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    for file in (*draft.iterdir(), draft):
        _to_disk(file)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    _to_disk(folder.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
