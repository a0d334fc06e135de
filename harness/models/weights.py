"""A folder's safetensors by their headers: read in milliseconds, without torch.

A file is 8 bytes with the header's length, a JSON header (name -> dtype, shape, begin and end of
its data), and the data without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import UserError
from harness.untrusted import WRONG, bytes_of, said

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


class Entry(NamedTuple):
    """What a header says of a tensor."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


Entries = dict[str, Entry]


def shapes_of(folder: Path) -> Shapes:
    """Return the shape of every tensor of a model's folder.

    Raises:
        UserError: as `entries_of`.
    """
    return {name: entry.shape for name, entry in entries_of(folder).items()}


def entries_of(folder: Path) -> Entries:
    """Return what the headers say of every tensor of a model's folder.

    These are all tensors that are loaded from it: `model.safetensors`, else the shards that an
    index names. A symbolic link is as good as the file it leads to, whose bytes a pin covers, too:
    the hub's cache and many a disk of weights are made of links.

    Raises:
        UserError: a shard is missing or lies elsewhere, the index says something else than its
            shards, or a file is not whole.
    """
    if (folder / WHOLE).is_file():
        return _entries_of_file(folder / WHOLE)
    index = folder / INDEX
    if not index.is_file():
        names = ", ".join(sorted(file.name for file in folder.glob("*.safetensors")))
        raise UserError(
            f"{folder}: neither {WHOLE} nor {INDEX} beside {names}: transformers loads no other "
            "names"
        )
    places = _places(index)
    entries: Entries = {}
    for shard in sorted(set(places.values())):
        there = _entries_of_file(folder / shard)
        _hold(index, shard, {name for name, file in places.items() if file == shard}, set(there))
        entries |= there
    return entries


def _places(index: Path) -> dict[str, str]:
    """Return which file of the folder an index has every tensor in."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise UserError(f"{index}: weight_map names no tensors and their shards")
    for name, shard in places.items():
        if not name.isprintable():
            raise UserError(f"{index}: {name!r} is no name of a tensor")
        # The pin covers the safetensors of the folder itself, and nothing else is loaded.
        if not isinstance(shard, str) or Path(shard).name != shard or "\0" in shard:
            raise UserError(f"{index}: {name} is in {shard!r}, which is no file of its folder")
        if not shard.endswith(".safetensors"):
            raise UserError(f"{index}: {name} is in {shard!r}, which is no .safetensors file")
    shards = sorted(set(places.values()))
    missing = [shard for shard in shards if not (index.parent / shard).is_file()]
    if missing:
        raise UserError(
            f"{index}: {len(missing)} of {len(shards)} shards are not there, such as "
            f"{missing[0]}: the download is not complete"
        )
    return places


def _hold(index: Path, shard: str, listed: set[str], there: set[str]) -> None:
    """Refuse a shard with other tensors than the index has in it: which would be loaded?"""
    for names, fault in ((listed - there, "lacks"), (there - listed, "has, unlisted there,")):
        if names:
            raise UserError(
                f"{index}: {shard} {fault} {len(names)} tensors, such as {min(names)}: index and "
                "shards are of different models; get both again, or save the model again"
            )


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: it holds something else.
    """
    try:
        content = json.loads(bytes_of(file).decode(), object_pairs_hook=_unique)
    except WRONG as error:
        raise UserError(f"{file}: no readable JSON: {said(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds {type(content).__name__}, no JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs; readers do not agree on which of two equal keys counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return content


def _entries_of_file(file: Path) -> Entries:
    try:
        header, there = _header(file)
        header.pop("__metadata__", None)
        end = _check_tensors(header)
        entries = {name: Entry(file, e["dtype"], tuple(e["shape"])) for name, e in header.items()}
    except WRONG as error:
        raise UserError(f"{file}: no safetensors header: {said(error)}") from None
    if there != end:
        how = "it is cut off: download it again" if there < end else "it has bytes too many"
        raise UserError(f"{file}: {there} bytes of tensors where its header has {end}: {how}")
    return entries


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """Return a file's header, and how many bytes lie behind it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 0 < length <= min(size - LENGTH_BYTES, MAX_HEADER):
            raise UserError(f"{file}: no safetensors file: {size} bytes, a header of {length}")
        header = json.loads(stream.read(length).decode(), object_pairs_hook=_unique)
    return header, size - LENGTH_BYTES - length


def _check_tensors(header: Mapping[str, Any]) -> int:
    """Hold sizes to dtypes and shapes, and data to no gap; returns where the data ends."""
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if not name.isprintable():
            raise ValueError(f"{name!r} is no name of a tensor")
        (start, stop), shape = entry["data_offsets"], entry["shape"]
        if any(type(size) is not int or size < 0 for size in (start, stop, *shape)):
            raise ValueError(f"{name} has shape {shape} at {start} to {stop}")
        if start != end:
            raise ValueError(f"{name} starts at byte {start} where the one before ends at {end}")
        bits = BITS.get(entry["dtype"])
        if bits is not None and 8 * (stop - start) != bits * math.prod(shape):
            raise ValueError(f"{name} has {stop - start} bytes for {entry['dtype']} {shape}")
        end = stop
    return end
