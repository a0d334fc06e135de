"""Nested state in a folder: tensors as safetensors, all else as JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.sums import SAVED, SUMS, check_sums, write_sums
from harness.untrusted import bytes_of

STATE, TENSORS = SAVED
# Nested dicts and lists of tensors and JSON values.
Saved = dict[str, Any]


def write_state(folder: Path, state: Saved) -> None:
    """Write nested dicts and lists of tensors and JSON values into an empty folder."""
    tensors: dict[str, Tensor] = {}
    content = _pack(state, tensors)
    save_tensors(tensors, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(content), encoding="utf-8")
    write_sums(folder)


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write tensors of any device as safetensors."""
    # Views of one storage are refused by safetensors, and some share one: copies do not.
    copies = {key: t.detach().cpu().contiguous().clone() for key, t in tensors.items()}
    save_file(copies, file, metadata={"format": "pt"})


def read_state(folder: Path, *, summed: bool = False) -> Saved:
    """Read what `write_state` wrote.

    Args:
        folder: that holds it.
        summed: it has sums, without which nothing in it is believed; exports of before November
            2026 have none.

    Raises:
        OSError, ValueError, SafetensorError: it is not there, not whole, or not what was written.
    """
    if summed or (folder / SUMS).exists():
        check_sums(folder)
    content = json.loads(bytes_of(folder / STATE).decode())
    state: Saved = _unpack(content, load_file(folder / TENSORS))
    return state


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
