"""What a figure of a report is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Mode = Literal["light", "dark"]


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when it is asked for.

    Attributes:
        name: stem of its files.
        title: a line above it.
        caption: what it shows: which memory, meter, card, versions; plain text.
        draw: makes it for a light or a dark page.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Mode], Drawing]
