"""What every piece of a suite is: strict, immutable, and laid over others by what it says."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from methods.numbers import ExactNumbers


class Frozen(ExactNumbers):
    """A strict, immutable piece of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return only what was written down, so that layers of settings can be merged."""
        return {name: getattr(self, name) for name in self.model_fields_set}
