"""What a figure of a report is, and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness import durable
from harness.reporting.figures.theme import MODES, Mode, style

__all__ = ["MODES", "Figure", "Mode", "png", "write"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when it is asked for.

    Attributes:
        name: stem of its files.
        title: a line above it.
        caption: what it shows: which memory, meter, card, versions; plain text.
        draw: makes it for a light or a dark page, inside of `theme.style`.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Mode], Drawing]

    def file(self, mode: Mode) -> str:
        """Return its file below a report's folder, with forward slashes."""
        return f"figures/{self.name}{'' if mode == 'light' else '-dark'}.png"


def png(figure: Figure, mode: Mode) -> bytes:
    """Draw a figure; the same figure gives the same bytes."""
    stream = BytesIO()
    with style(mode):
        figure.draw(mode).savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def write(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write each figure for light and dark pages below `folder`; returns the files.

    Raises:
        ValueError: two figures have one name.
        OSError: a file cannot be written.
    """
    names = [figure.name for figure in figures]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two figures have one name: {', '.join(sorted(twice))}")
    files = []
    for figure in figures:
        for mode in MODES:
            files.append(folder / figure.file(mode))
            durable.write_bytes(files[-1], png(figure, mode))
    return files
