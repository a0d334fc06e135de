"""Hidden states of examples on the host, found again by the examples' tokens."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from methods.safe.options import CacheLimits


class Rows:
    """Hidden states of examples by key, as bytes, so that no tensor of theirs is alive.

    Attributes:
        num_bytes: that are kept, in memory or in a temporary file.
    """

    def __init__(self, options: CacheLimits) -> None:
        self._file = tempfile.TemporaryFile() if options.on == "disk" else None  # noqa: SIM115
        self._arrays: dict[bytes, np.ndarray] = {}
        self._places: dict[bytes, tuple[int, tuple[int, ...]]] = {}  # in the file: start, shape
        self.num_bytes = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._arrays or key in self._places

    def put(self, key: bytes, row: Tensor) -> None:
        """Keep `row` (tokens, hidden); a key that is known stays as it is."""
        if key in self:
            return
        data = row.detach().cpu().contiguous().view(torch.uint8).numpy()
        if self._file is not None:
            os.pwrite(self._file.fileno(), data.tobytes(), self.num_bytes)
            self._places[key] = (self.num_bytes, data.shape)
        else:
            self._arrays[key] = data.copy()
        self.num_bytes += data.nbytes

    def get(self, key: bytes, dtype: torch.dtype) -> Tensor:
        """Return the row of `key`."""
        return torch.from_numpy(self._read(key)).view(dtype)

    def _read(self, key: bytes) -> np.ndarray:
        if self._file is None:
            return self._arrays[key].copy()
        start, shape = self._places[key]
        row_bytes = os.pread(self._file.fileno(), int(np.prod(shape)), start)
        return np.frombuffer(bytearray(row_bytes), np.uint8).reshape(shape)

    def state(self) -> dict[str, Any]:
        """Return everything as two JSON lists and one tensor."""
        rows = {key: self._read(key) for key in (*self._arrays, *self._places)}
        flat = [torch.from_numpy(row).flatten() for row in rows.values()]
        return {
            "keys": [key.hex() for key in rows],
            "shapes": [list(row.shape) for row in rows.values()],
            "data": torch.cat(flat) if flat else torch.empty(0, dtype=torch.uint8),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` returned."""
        start = 0
        for key, shape in zip(state["keys"], state["shapes"], strict=True):
            size = int(np.prod(shape))
            self.put(bytes.fromhex(key), state["data"][start : start + size].view(*shape))
            start += size


def places_of(mask: Tensor | None, index: int, length: int) -> Tensor:
    """Return the positions of one example's tokens in its padded row; `mask` is on the host."""
    return torch.arange(length) if mask is None else mask[index].nonzero().flatten()


def keys_of(inputs: Mapping[str, Any], mask: Tensor | None) -> list[bytes]:
    """Return a name for each example of a batch that depends on its tokens alone."""
    tensors = {
        name: value.cpu()
        for name, value in sorted(inputs.items())
        if isinstance(value, torch.Tensor) and name in {"input_ids", "token_type_ids"}
    }
    count, length = tensors["input_ids"].shape
    keys = []
    for i in range(count):
        digest = hashlib.blake2b(digest_size=16)
        for value in tensors.values():
            digest.update(value[i, places_of(mask, i, length)].numpy().tobytes())
        keys.append(digest.digest())
    return keys
