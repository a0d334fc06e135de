"""What a budget is of."""

from __future__ import annotations

from typing import NamedTuple

ANY = ""  # a card that is not known


class Spot(NamedTuple):
    """A cell, by its path and where it has stages their name, on a card."""

    path: str
    card: str
