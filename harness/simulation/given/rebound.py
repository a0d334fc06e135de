"""Functions of torch that other modules hold by a name of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import functional

# What `choices_of` replaces, where code looks it up; `from torch.nn.functional import dropout` has
# it under another name.
REPLACED = ("scaled_dot_product_attention", "dropout", "softmax", "log_softmax")


class Rebound:
    """Where modules outside of torch hold functions that are about to be replaced."""

    def __init__(self) -> None:
        self._before = {name: getattr(functional, name) for name in REPLACED}
        self._changed: list[tuple[Any, str, Any]] = []

    def follow(self) -> None:
        """Give those modules what the functions have become."""
        now = {
            id(old): (old, getattr(functional, name)) for name, old in self._before.items()
            if getattr(functional, name) is not old
        }  # fmt: skip
        for name, module in list(sys.modules.items()):
            if module is None or name == "torch" or name.startswith("torch."):
                continue
            if name.startswith("harness.simulation"):
                continue
            for key, value in list(getattr(module, "__dict__", {}).items()):
                if id(value) in now:
                    self._changed.append((module, key, value))
                    setattr(module, key, now[id(value)][1])

    def restore(self) -> None:
        """Give them back what they held."""
        for module, key, value in self._changed:
            setattr(module, key, value)


@contextmanager
def rebound() -> Iterator[Rebound]:
    """Note what functions are before they are replaced; call `follow` when they have been."""
    one = Rebound()
    try:
        yield one
    finally:
        one.restore()
