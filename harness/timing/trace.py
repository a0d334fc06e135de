"""What an observer writes down of every dispatched operator: all that its time depends on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Row(NamedTuple):
    """One dispatched operator.

    Attributes:
        op: its name, such as `aten::addmm`.
        part: of the step: forward, backward, optimizer; or evaluation, probe.
        view: it launches no kernel: a view, or a tensor without values.
        flops: of its matrix products, a multiply-add as two.
        dtype: in which it computes.
        reads, writes: (storage, bytes) of its tensors.
    """

    op: str
    part: str
    view: bool
    flops: int
    dtype: torch.dtype | None
    reads: tuple[tuple[int, int], ...]
    writes: tuple[tuple[int, int], ...]


class Tracer:
    """Writes a row per operator, activity by activity.

    Attributes:
        rows: by activity: `step 1` and on for steps (step 0 is left out), `evaluation`, `probe`.
        sizes: examples and tokens of each activity.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self._current: list[Row] | None = None

    def begin(self, activity: str, examples: int, tokens: int) -> None:
        """Note that an activity begins; its passes' examples and tokens are all counted."""
        self.sizes[activity] = (examples, tokens)
        self._current = self.rows.setdefault(activity, [])

    def end(self) -> None:
        """Note that nothing of interest follows, until the next one begins."""
        self._current = None

    def __call__(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, part: str,
        flops: int,
    ) -> None:  # fmt: skip
        """Write down one operator."""
        if self._current is None:
            return
        outs = list(_tensors(out))
        view = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        dtype = next((t.dtype for t in outs if t.is_floating_point()), None)
        reads = tuple(_held(t) for t in _tensors((*args, *kwargs.values())))
        writes = tuple(_held(t) for t in outs)
        self._current.append(Row(func._schema.name, part, view, flops, dtype, reads, writes))


def _held(tensor: Tensor) -> tuple[int, int]:
    return tensor.untyped_storage()._cdata, tensor.numel() * tensor.element_size()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
