"""Where the rows of own data lie: files, a folder or zip of parts, a data set of the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.paths import user_path
from harness.tasks.own.data import OwnData
from harness.tasks.sources import Table, find_parts, hub_table, read_table
from harness.tasks.sources.files import archive_of, members
from harness.tasks.sources.folders import NAMES
from harness.tasks.sources.hub import address
from methods.wording import nearest

EVALUATIONS = ("validation", "test")  # the parts that `eval` may name
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Place:
    """Own data as a suite names them.

    Attributes:
        data: what the suite says.
        root: the folder that relative paths start from; None: the working directory.
        revision: of a data set of the hub.
    """

    data: OwnData
    root: Path | None = None
    revision: str | None = None

    @property
    def path(self) -> Path:
        """Where the data lie, if they lie here."""
        return self._resolved(self.data.path)

    @property
    def is_local(self) -> bool:
        """Whether the rows are on this machine."""
        return self.data.config is None or self.path.is_dir()

    @property
    def source(self) -> str:
        """What a record calls it."""
        if self.data.config is None:
            return f"local {self.path}"
        return f"{address(self._repository, self.revision)} {self.data.config}"

    def train(self) -> list[Table]:
        """Read the files of the training rows.

        Raises:
            UserError: they are not there, or are not what their names say.
        """
        if self.data.config is not None:
            return [self._of_hub("train")]
        return _read(find_parts(self.path).train if self._has_parts else [self._file(self.path)])

    def evaluation(self) -> list[Table] | None:
        """Read the files of the rows to evaluate on; None: a share of the training rows is.

        Raises:
            UserError: as `train`; or nothing says which rows they are.
        """
        chosen = self.data.eval
        if isinstance(chosen, float):
            return None
        if self.data.config is not None:
            return [self._of_hub(chosen or "validation")]
        if not self._has_parts:
            if chosen is None:
                raise UserError(
                    f"{self.path}: nothing to evaluate on; eval names a file, or a share of the "
                    "training rows such as 0.1"
                )
            return _read([self._file(self._resolved(chosen))])
        if chosen is not None and chosen not in NAMES:
            return _read([self._file(self._resolved(chosen))])
        return _read(self._part(chosen or "validation"))

    def test(self) -> list[Table]:
        """Read the part that is tested on where another one selects; empty: there is none.

        Raises:
            UserError: as `train`.
        """
        if self.data.config is not None or not self._has_parts or self.data.eval == "test":
            return []
        return _read(find_parts(self.path).test)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Return what tells that the files are still the same: names, times, sizes."""
        path = archive_of(self.path) or self.path
        files = path.rglob("*") if path.is_dir() else [path]
        known = [(file, file.stat()) for file in sorted(files) if file.is_file()]
        return tuple((str(file), seen.st_mtime_ns, seen.st_size) for file, seen in known)

    @property
    def _has_parts(self) -> bool:
        archive = archive_of(self.path)
        if archive is not None:
            return len([each for each in members(archive) if each.is_relative_to(self.path)]) > 1
        return self.path.is_dir()

    @property
    def _repository(self) -> str:
        return str(self.path) if self.path.is_dir() else self.data.path

    def _of_hub(self, split: str) -> Table:
        return hub_table(self._repository, self.data.config or "", self.revision, split)

    def _part(self, name: str) -> tuple[Path, ...]:
        if name not in EVALUATIONS:
            raise UserError(f"eval: {name!r} is learned from; {nearest(name, EVALUATIONS)}")
        found: tuple[Path, ...] = getattr(find_parts(self.path), name)
        if not found:
            raise UserError(
                f"{self.path}: no file of {name} rows, such as {NAMES[name][0]}.csv; eval names a "
                "file, another part, or a share of the training rows such as 0.1"
            )
        return found

    def _file(self, path: Path) -> Path:
        missing = not path.exists() and archive_of(path) is None
        if missing and HUB_ID.fullmatch(self.data.path) and path == self.path:
            raise UserError(
                f"{path}: no such file or folder (a data set of the hub needs its config beside "
                "the path; config: default where it has none)"
            )
        return path

    def _resolved(self, text: str) -> Path:
        path = user_path(text)
        return path if self.root is None else self.root / path


def _read(paths: Iterable[Path]) -> list[Table]:
    return [read_table(path) for path in paths]


def notes_of(tables: Sequence[Table]) -> list[str]:
    """Return what is to be said of how the tables were read."""
    return [note for table in tables for note in table.notes]
