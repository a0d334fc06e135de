"""What every piece of a suite is: strict, immutable, and laid over others by what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict

from methods.numbers import ExactNumbers


class Frozen(ExactNumbers):
    """A strict, immutable piece of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return only what was written down, so that layers of settings can be merged."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values; what was computed of the old ones is left behind.

        Pydantic's own takes cached properties along.
        """
        copied = super().model_copy(update=update, deep=deep)
        for name in set(vars(copied)) - set(type(self).model_fields):
            del vars(copied)[name]
        return copied
