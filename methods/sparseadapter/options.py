"""Pieces of SparseAdapter's options."""

from __future__ import annotations

from typing import Literal

Pruner = Literal["rand", "magnitude", "er", "snip", "grasp"]
Scope = Literal["global", "local"]
# Scores that are taken from examples, and not from the values alone.
NEEDS_GRADIENTS: tuple[Pruner, ...] = ("snip", "grasp")
