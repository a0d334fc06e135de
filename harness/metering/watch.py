"""What a training step tells whoever watches it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Watch(Protocol):
    """Hears which part of a step begins, and what its tensors are."""

    def mark(self, name: str) -> None:
        """Say that `forward`, `backward`, `optimizer` begins, or the step's `end`."""

    def declare(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Say what some tensors are, such as `inputs`."""

    def emptied(self) -> None:
        """Say that the allocator's cache was given back to the driver."""


class NoWatch:
    """For the steps that nobody audits: hears nothing."""

    def mark(self, name: str) -> None:
        """Do nothing."""

    def declare(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Do nothing."""

    def emptied(self) -> None:
        """Do nothing."""
