"""Checkpoints inside a cell: a killed run goes on and ends with the bytes it would have had.

One folder per cell holds one checkpoint: tensors as safetensors, all else as JSON. It is written
beside the old one and takes its place by rename. Versions and source code are part of it: a
checkpoint of other code is not gone on from.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness import durable

State = dict[str, Any]


class Checkpoints:
    """The checkpoint of one cell.

    Args:
        folder: of this cell alone.
        every: seconds of training between checkpoints.

    Attributes:
        wanted: someone asked this process to end: save now, and stop.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self.wanted = False
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Tell whether it is time to save."""
        return self.wanted or time.monotonic() - self._saved >= self.every

    def save(self, state: State) -> None:
        """Write nested dicts and lists of tensors and JSON values in place of the old ones."""
        with durable.new_folder(self.folder) as folder:
            write_state(folder, {"code": _code(), "state": state})
        self._saved = time.monotonic()

    def load(self) -> State | None:
        """Return what was saved by the same code; None where there is nothing of the kind."""
        # Killed between the two steps of `save`, only the new one is there.
        for folder in (self.folder, durable.draft_of(self.folder)):
            try:
                content = read_state(folder)
            except (OSError, ValueError, SafetensorError):
                continue
            if content["code"] == _code():
                state: State = content["state"]
                return state
        return None

    def drop(self) -> None:
        """Remove the checkpoint: the cell has its record."""
        for folder in (self.folder, durable.draft_of(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)


def write_state(folder: Path, state: State) -> None:
    """Write nested dicts and lists of tensors and JSON values into an empty folder."""
    tensors: dict[str, Tensor] = {}
    content = _pack(state, tensors)
    save_tensors(tensors, folder / "tensors.safetensors")
    (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors of any device as safetensors."""
    # Views of one storage are refused by safetensors, and some share one: copies do not.
    copies = {key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}
    save_file(copies, file, metadata={"format": "pt"})


def read_state(folder: Path) -> State:
    """Read what `write_state` wrote.

    Raises:
        OSError, ValueError, SafetensorError: it is not there, or not whole.
    """
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    state: State = _unpack(content, load_file(folder / "tensors.safetensors"))
    return state


def _code() -> list[Any]:
    from harness.env import package_versions, source_hash
    from harness.plugins import fingerprint

    return [source_hash(), package_versions(), fingerprint()]


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return JSON with a mark in place of each tensor, which goes to `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {"__tensor__": name}
    if isinstance(value, Mapping):
        return {str(key): _pack(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if "__tensor__" in value:
            return tensors[value["__tensor__"]]
        return {key: _unpack(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value
