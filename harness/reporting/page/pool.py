"""Values that many records share, each kept once."""

from __future__ import annotations

import json
from typing import Any


class Pool:
    """Gives every distinct value a number: settings, versions and places repeat in most records."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: Any) -> int:
        """Return the value's place in `values`."""
        key = json.dumps(value, sort_keys=True, default=repr)
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(value)
        return self._numbers[key]


def known(**values: Any) -> dict[str, Any]:
    """Return what says something: no None, no empty text, list or mapping."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}
