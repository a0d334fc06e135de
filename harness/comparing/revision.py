"""The code as it was at a git revision, in a folder that goes away again."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.comparing.interpreter import last_line
from harness.errors import UserError


@dataclass(frozen=True)
class Tree:
    """The files of a revision: where they lie, and which commit it is."""

    folder: Path
    commit: str

    @property
    def is_headroom(self) -> bool:
        """Whether it is this project; else it is a repository of plug-ins."""
        return (self.folder / "harness" / "forecast.py").is_file()


def commit_of(repository: Path, revision: str) -> str:
    """Return the commit's hash.

    Raises:
        UserError: the folder is in no repository, or that has no such revision.
    """
    name = f"{revision}^{{commit}}"
    told = _git(repository, revision, "rev-parse", "--verify", "--end-of-options", name)
    return told.decode().strip()


def top_of(repository: Path) -> Path:
    """Return the top folder of the checkout that a folder is in.

    Raises:
        UserError: it is in none.
    """
    return Path(_git(repository, "", "rev-parse", "--show-toplevel").decode().strip())


@contextmanager
def tree_of(repository: Path, revision: str) -> Iterator[Tree]:
    """Yield the files of a revision; the repository itself is only read.

    Raises:
        UserError: as `commit_of`.
    """
    commit = commit_of(repository, revision)
    packed = _git(top_of(repository), revision, "archive", "--format=tar", commit)
    with TemporaryDirectory(prefix="headroom-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # from 3.11.4 on
            archive.extractall(folder)
        yield Tree(Path(folder).resolve(), commit)


def _git(repository: Path, revision: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True)
    except OSError as error:
        raise UserError(f"git: {error.strerror}") from None
    if done.returncode:
        what = f"--rev {revision}: " if revision else ""
        why = last_line(done.stderr.decode(errors="replace")).removeprefix("fatal: ")
        raise UserError(f"{what}{repository}: {why}")
    return done.stdout
