"""Where the rows of a language task are: files of usual names, or splits on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.tasks.base import DataRequest
from harness.tasks.sources.hub import address


@dataclass(frozen=True)
class Found:
    """One part of the data as it lies there, and what it is called."""

    rows: list[dict[str, Any]]
    where: str


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        folders: usual names of its folder in `data_root`.
        files: patterns of the file of each part, the best first.
        repository, config, revision: on the hub; a suite's `revision` takes the last one's place.
        splits: of each part on the hub.
    """

    folders: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    repository: str
    config: str
    revision: str | None
    splits: Mapping[str, str]

    def folder(self, request: DataRequest, task: str) -> Path | None:
        """Return the folder of local files, None where the rows are on the hub.

        Raises:
            UserError: there is none where one is asked for.
        """
        if request.folder is not None:
            if not request.folder.is_dir():
                raise UserError(f"task {task}: folder {request.folder} does not exist")
            return request.folder
        return self.in_root(request.data_root, task)

    def in_root(self, root: Path | None, task: str) -> Path | None:
        """Return its folder in `data_root`.

        Raises:
            UserError: a root is given and has none.
        """
        if root is None:
            return None
        for name in self.folders:
            if (root / name).is_dir():
                return root / name
        raise UserError(f"task {task}: none of {', '.join(self.folders)} in data_root {root}")

    def file(self, folder: Path, part: str) -> Path | None:
        """Return the part's file, None where there is none."""
        for pattern in self.files.get(part, ()):
            for path in sorted(folder.glob(pattern)):
                return path
        return None

    def address(self, request: DataRequest) -> str:
        """Return what a record calls the data set on the hub."""
        return address(self.repository, request.revision or self.revision)

    def find(self, request: DataRequest, task: str, part: str) -> Found | None:
        """Return a part's rows as dicts, None where no local file has them.

        Raises:
            UserError: a file cannot be read, or the hub not be reached.
        """
        from harness.tasks.sources import hub_rows, read_rows

        folder = self.folder(request, task)
        if folder is None:
            revision, split = request.revision or self.revision, self.splits.get(part)
            if split is None:
                return None
            rows = hub_rows(self.repository, self.config, revision, split)
            return Found(rows, f"{self.repository} {split}")
        path = self.file(folder, part)
        return None if path is None else Found(read_rows(path), path.name)

    def described(self, request: DataRequest, task: str) -> str:
        """Return what a record calls the source."""
        folder = self.folder(request, task)
        return self.address(request) if folder is None else f"local {folder}"
