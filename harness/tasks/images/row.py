"""A row of an image task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness.tasks.images.stored import Stored


class Labelled(NamedTuple):
    """An image and its label as its source spells it."""

    stored: Stored
    label: str | int


@dataclass(frozen=True)
class ImageExample:
    """An image and the number of its class."""

    stored: Stored
    label: int

    def facts(self) -> list[Any]:
        """Return the sha256 of the stored bytes, which are looked at on the way, and the class.

        Raises:
            UserError: they are none of an image.
        """
        return [hashlib.sha256(self.stored.checked()).hexdigest(), self.label]
