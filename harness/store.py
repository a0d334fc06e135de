"""The store: a folder with one JSON record per cell, written by rename, and a lock."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness import durable
from harness.errors import UserError
from harness.record import FINAL_OUTCOMES, SCHEMA_VERSION, Record

if TYPE_CHECKING:
    from harness.record import ExportKind
    from harness.suite.suite import Cell

MANIFEST = "suite.json"


class Store:
    """Records of one run folder; the only place that writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record_file(self, cell: Cell) -> Path:
        """Return where the cell's record lies; the key keeps other settings' records apart."""
        return self.folder / "records" / f"{cell.path}-{cell.key}.json"

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
        return folder if (folder / "state.json").is_file() else None

    def drop_checkpoint(self, cell: Cell) -> None:
        """Remove the cell's checkpoint, so that it starts from its beginning."""
        shutil.rmtree(self.checkpoint_folder(cell), ignore_errors=True)

    def read(self, cell: Cell) -> Record | None:
        """Return the cell's record, or None where there is none that can be read."""
        return _read(self.record_file(cell))

    def is_done(self, cell: Cell) -> bool:
        """Tell whether the cell has a final record: crashed and interrupted ones run again."""
        record = self.read(cell)
        return record is not None and record.key == cell.key and record.outcome in FINAL_OUTCOMES

    def write(self, cell: Cell, record: Record) -> None:
        """Write the record so that a reader sees all of it or nothing, whatever is killed when."""
        durable.write_text(self.record_file(cell), record.model_dump_json(indent=1))

    def write_manifest(self, suite: dict[str, Any], cells: Iterable[Cell]) -> None:
        """Note which cells the folder is about now, in the suite's order."""
        content = {"suite": suite, "cells": [{"path": c.path, "key": c.key} for c in cells]}
        durable.write_text(self.folder / MANIFEST, json.dumps(content, indent=1))

    def records(self) -> list[Record]:
        """Read the records of the manifest's cells, in its order.

        Raises:
            UserError: the folder holds no run.
        """
        manifest = self.manifest()
        files = [
            self.folder / "records" / f"{cell['path']}-{cell['key']}.json"
            for cell in manifest["cells"]
        ]
        return [record for record in map(_read, files) if record is not None]

    def manifest(self) -> dict[str, Any]:
        """Return the suite and its cells as the last run in this folder wrote them."""
        try:
            content: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text())
        except (OSError, ValueError):
            raise UserError(f"{self.folder} holds no run: no readable {MANIFEST} in it") from None
        return content

    @contextmanager
    def lock(self, patience: float = 3.0) -> Iterator[int]:
        """Hold the folder for one run at a time; yields the lock's file descriptor.

        The lock belongs to the open file: children that inherit the descriptor keep it held, and
        the kernel drops it when the last of them is gone, however they ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(descriptor, patience)
            os.ftruncate(descriptor, 0)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            holder = f"process {os.getpid()} on {socket.gethostname()} since {started}"
            os.pwrite(descriptor, holder.encode(), 0)
            yield descriptor
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, patience: float) -> None:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(descriptor, 200, 0).decode() or "another process"
                    raise UserError(
                        f"{self.folder} is in use by {holder}; wait for it or give another --out"
                    ) from None
                time.sleep(0.1)


def _read(file: Path) -> Record | None:
    try:
        record = Record.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return record if record.schema_version == SCHEMA_VERSION else None
