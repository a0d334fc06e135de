"""A folder's safetensors by their headers: read in milliseconds, without torch.

A file is 8 bytes with the header's length, a JSON header (name -> dtype, shape, begin and end of
its data), and the data without gaps.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from harness.errors import UserError

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LENGTH_BYTES = 8
MAX_HEADER = 100_000_000  # as the safetensors library has it
# Bits of an element by the names of the format; other types are left to the library.
BITS = {
    "F4": 4, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16,
    "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64,
    "F64": 64, "C64": 64,
}  # fmt: skip

Shapes = dict[str, tuple[int, ...]]


def shapes_of(folder: Path) -> Shapes:
    """Return the shape of every tensor of a model's folder.

    Raises:
        UserError: a shard is missing, or a file is not whole.
    """
    shapes: Shapes = {}
    for file in _files(folder):
        shapes |= _shapes_of_file(file)
    return shapes


def _files(folder: Path) -> list[Path]:
    """Return the files that transformers loads: one, or the shards of an index."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    index = folder / INDEX
    if not index.is_file():
        names = ", ".join(sorted(file.name for file in folder.glob("*.safetensors")))
        raise UserError(
            f"{folder}: neither {WHOLE} nor {INDEX} beside {names}: transformers loads no other "
            "names"
        )
    shards = sorted(set(read_json(index).get("weight_map", {}).values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing or not shards:
        raise UserError(
            f"{index}: {len(missing)} of {len(shards)} shards are not there"
            + (f", such as {missing[0]}: the download is not complete" if missing else "")
        )
    return [folder / name for name in shards]


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: it holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: no readable JSON: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds {type(content).__name__}, no JSON object")
    return content


def _shapes_of_file(file: Path) -> Shapes:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 0 < length <= min(size - LENGTH_BYTES, MAX_HEADER):
            raise UserError(f"{file}: no safetensors file: {size} bytes, a header of {length}")
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            end = _check_tensors(header)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: no safetensors header: {error}") from None
    there = size - LENGTH_BYTES - length
    if there != end:
        how = "it is cut off: download it again" if there < end else "it has bytes too many"
        raise UserError(f"{file}: {there} bytes of tensors where its header has {end}: {how}")
    return {name: tuple(entry["shape"]) for name, entry in header.items()}


def _check_tensors(header: dict[str, Any]) -> int:
    """Hold sizes to dtypes and shapes; returns where the data ends."""
    end = 0
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        bits = BITS.get(entry["dtype"])
        if bits is not None and 8 * (stop - start) != bits * math.prod(entry["shape"]):
            raise ValueError(
                f"{name} has {stop - start} bytes for {entry['dtype']} {entry['shape']}"
            )
        end = max(end, stop)
    return end
