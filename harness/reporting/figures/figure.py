"""What a figure of a report is, and its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness import durable
from harness.reporting.figures.theme import DPI, MODES, Mode, style

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
    """Draw a figure; the same figure gives the same bytes.

    With 256 colours a file is a third as large, and looks the same.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    with style(mode):
        canvas = FigureCanvasAgg(figure.draw(mode))
        canvas.draw()  # type: ignore[no-untyped-call]
        size, pixels = canvas.get_width_height(physical=True), canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    image = Image.frombuffer("RGBA", size, bytes(pixels), "raw", "RGBA", 0, 1).convert("RGB")
    few = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    stream = BytesIO()
    few.save(stream, format="png", dpi=(DPI, DPI))
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
