"""The store: a folder with one JSON record per cell, written by rename, and a lock."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.errors import UserError
from harness.lock import held, holder
from harness.run_files import (
    RECORDS,
    Held,
    LeftOut,
    Place,
    places,
    read_manifest,
    read_record,
    write_record,
)
from harness.untrusted import Unreadable

if TYPE_CHECKING:
    from harness.record import ExportKind, Record
    from harness.suite.cell import Cell

MANIFEST = "suite.json"


class Store:
    """Records of one run folder; the only place that writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._told: set[Path] = set()

    def record_file(self, cell: Cell) -> Path:
        """Return where the cell's record lies; the key keeps other settings' records apart."""
        return self._file(cell.path, cell.key)

    def log_file(self, cell: Cell) -> Path:
        """Return where the cell's process writes its output."""
        return self.folder / "logs" / f"{cell.path}-{cell.key}.log"

    def checkpoint_folder(self, cell: Cell) -> Path:
        """Return where the cell keeps its checkpoint while it runs."""
        return self.folder / "checkpoints" / f"{cell.path}-{cell.key}"

    def export_folder(self, cell: Cell, kind: ExportKind) -> Path:
        """Return where the cell leaves what a user deploys; each kind has its own folder."""
        return self.folder / "exports" / f"{cell.path}-{cell.key}" / kind

    def exported(self, cell: Cell, kind: ExportKind) -> Path | None:
        """Return where an export of this kind lies, if one does."""
        record, folder = self.read(cell), self.export_folder(cell, kind)
        if not folder.is_dir() and record and record.export and record.export.kind == kind:
            folder = self.folder / record.export.folder  # where runs of November 2026 put it
            if not folder.resolve().is_relative_to(self.folder.resolve()):
                return None
        return folder if (folder / "state.json").is_file() else None

    def drop_checkpoint(self, cell: Cell) -> None:
        """Remove the cell's checkpoint, so that it starts from its beginning."""
        shutil.rmtree(self.checkpoint_folder(cell), ignore_errors=True)

    def read(self, cell: Cell) -> Record | None:
        """Return the cell's record, or None where there is none that can be believed.

        Says so, once a file, on the error stream: the cell will run again.
        """
        file = self.record_file(cell)
        try:
            return read_record(file, cell.path, cell.key)
        except Unreadable as error:
            if file not in self._told:
                print(f"no record of {cell.path}: {error}", file=sys.stderr)
            self._told.add(file)
            return None

    def is_done(self, cell: Cell) -> bool:
        """Tell whether the cell has a final record; the others run again."""
        record = self.read(cell)
        return record is not None and record.is_final

    def write(self, cell: Cell, record: Record) -> None:
        """Write the record so that a reader sees all of it or nothing, whatever is killed when.

        What lies there and cannot be believed is kept beside it: another version may read it.
        """
        file = self.record_file(cell)
        try:
            read_record(file, cell.path, cell.key)
        except Unreadable:
            names = (file.with_name(f"{file.name}.unread-{number}") for number in count(1))
            with suppress(OSError):
                file.rename(next(name for name in names if not name.exists()))
        write_record(file, record)

    def make_room(self, cells: Iterable[Cell]) -> None:
        """Make the folders of the cells' records, before any work that they are to keep is done.

        Raises:
            OSError: one cannot be made, or nothing can be written into it.
        """
        for folder in dict.fromkeys(self.record_file(cell).parent for cell in cells):
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    def write_manifest(self, suite: dict[str, Any], cells: Iterable[Cell]) -> None:
        """Note which cells the folder is about now, in the suite's order."""
        self.write_listing(suite, ((cell.path, cell.key) for cell in cells))

    def write_listing(self, suite: dict[str, Any], cells: Iterable[Place]) -> None:
        """Write the manifest of cells that are known by path and key alone."""
        listed = [{"path": path, "key": key} for path, key in cells]
        content = {"suite": suite, "cells": listed}
        durable.write_text(self.folder / MANIFEST, json.dumps(content, indent=1))

    def records(self) -> list[Record]:
        """Return the records of the manifest's cells, in its order, without those left out.

        Raises:
            UserError: the folder holds no run.
        """
        return self.contents()[0]

    def contents(self) -> tuple[list[Record], list[LeftOut]]:
        """Read the records of the manifest's cells, in its order; those that are there and wrong.

        Raises:
            UserError: the folder holds no run.
        """
        return self._read(_listed(self.manifest()))

    def held(self) -> Held:
        """Read all records, also those that the manifest does not list: of earlier settings.

        Raises:
            UserError: the folder holds no run.
        """
        there = [*places(self.folder)]
        has_manifest = os.path.lexists(self.folder / MANIFEST)
        manifest = self.manifest() if has_manifest or not there else None
        return Held(manifest, *self._read(dict.fromkeys([*_listed(manifest), *there])))

    def _file(self, path: str, key: str) -> Path:
        return self.folder / RECORDS / f"{path}-{key}.json"

    def _read(self, cells: Iterable[Place]) -> tuple[list[Record], list[LeftOut]]:
        records, left_out = [], []
        for path, key in cells:
            try:
                record = read_record(self._file(path, key), path, key)
            except Unreadable as error:
                left_out.append(LeftOut(path, str(error).removeprefix(f"{self.folder}{os.sep}")))
            else:
                records += [record] if record is not None else []
        return records, left_out

    def manifest(self) -> dict[str, Any]:
        """Return the suite and its cells as the last run in this folder wrote them.

        Raises:
            UserError: the folder holds no run.
        """
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} holds no run: there is no such folder")
        try:
            return read_manifest(self.folder / MANIFEST)
        except Unreadable as error:
            raise UserError(f"{self.folder} holds no run: {error}") from None

    @contextmanager
    def lock(self, patience: float = 3.0) -> Iterator[int]:
        """Hold the folder for one run at a time, as `held` does."""
        with held(self.folder, patience) as descriptor:
            yield descriptor

    def holder(self) -> str | None:
        """Return what holds the folder now, in words; None where nothing does."""
        return holder(self.folder)


def _listed(manifest: dict[str, Any] | None) -> list[Place]:
    return [(cell["path"], cell["key"]) for cell in (manifest or {"cells": []})["cells"]]
