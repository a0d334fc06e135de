"""Checkpoints inside a cell: a killed run goes on and ends with the bytes it would have had.

One folder per cell holds one checkpoint. It is written beside the old one and takes its place by
rename. Versions and source code are part of it: a checkpoint of other code is not gone on from.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from harness import durable
from harness.training.saved import Saved, read_state, write_state
from harness.untrusted import WRONG


class Checkpoints:
    """The checkpoint of one cell.

    Args:
        folder: of this cell alone.
        every: seconds of training between checkpoints.
        ran: what it runs with beside the cell's own settings: no other run goes on from it.

    Attributes:
        wanted: someone asked this process to end: save now, and stop.
    """

    def __init__(self, folder: Path, every: float, ran: str = "") -> None:
        self.folder, self.every, self.ran = folder, every, ran
        self.wanted = False
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Tell whether it is time to save."""
        return self.wanted or time.monotonic() - self._saved >= self.every

    def save(self, state: Saved) -> str | None:
        """Write nested dicts and lists of tensors and JSON values in place of the old ones.

        Returns:
            Why there is none: a full disk is no reason to end a run.
        """
        self._saved = time.monotonic()
        try:
            with durable.new_folder(self.folder) as folder:
                write_state(folder, {"code": self._identity(), "state": state})
        except (OSError, SafetensorError) as error:
            shutil.rmtree(durable.draft_of(self.folder), ignore_errors=True)
            return f"no checkpoint in {self.folder}: {error}"
        return None

    def load(self) -> Saved | None:
        """Return what was saved by the same code; None where there is nothing of the kind.

        What is damaged is told, and the run starts again.
        """
        # Killed between the two steps of `save`, only the new one is there.
        for folder in (self.folder, durable.draft_of(self.folder)):
            if not folder.exists():
                continue
            try:
                content = read_state(folder, summed=True)
                if content["code"] == self._identity():
                    state: Saved = content["state"]
                    return state
            except (*WRONG, SafetensorError) as error:
                print(f"checkpoint {folder} is damaged, and not gone on from: {error}")
        return None

    def _identity(self) -> list[Any]:
        return [*_code(), self.ran] if self.ran else _code()

    def drop(self) -> None:
        """Remove the checkpoint: the cell has its record."""
        for folder in (self.folder, durable.draft_of(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _code() -> list[Any]:
    from harness.env import package_versions, source_hash
    from harness.plugins import fingerprint

    return [source_hash(), package_versions(), fingerprint()]
