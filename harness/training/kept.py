"""What a model's outputs keep alive: tensors in them, and in graphs that nothing ran backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def tensors_of(outputs: object) -> Iterator[Tensor]:
    """Yield the tensors in mappings, sequences and caches of keys, and those of their graphs.

    With label smoothing the model's own loss is computed and not used: its graph lives on.
    """
    seen, found, graphs = set[int](), [outputs], list[Any]()
    while found:
        each = found.pop()
        if isinstance(each, Tensor):
            yield each
            graphs.append(each.grad_fn)
        elif isinstance(each, Mapping):
            found += each.values()
        elif isinstance(each, (list, tuple)):
            found += each
        # What is left are transformers' caches, their layers, and numbers.
        elif hasattr(each, "__dict__") and not isinstance(each, type) and id(each) not in seen:
            seen.add(id(each))
            found += vars(each).values()
    yield from _saved_in(graphs)


def _saved_in(nodes: list[Any]) -> Iterator[Tensor]:
    """Yield what the graphs have saved, down to where backward has been and given it back."""
    seen = set[Any]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names = [name for name in dir(node) if name.startswith("_saved_")]
        try:
            saved = [getattr(node, name) for name in names]
            saved += getattr(node, "saved_tensors", ())  # of a function in Python
        except RuntimeError:  # backward has been here
            continue
        for value in saved:
            several = value if isinstance(value, tuple) else (value,)
            yield from (each for each in several if isinstance(each, Tensor))
        nodes += (following for following, _ in node.next_functions)
