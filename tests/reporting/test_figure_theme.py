"""Figures: colours that readers tell apart, text that is text, the same bytes every time."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.metering.events import CATEGORIES
from harness.reporting.comparison import SPLIT
from harness.reporting.figures.figure import MODES, Figure, Mode, png, write
from harness.reporting.figures.theme import THEMES, looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Color = NDArray[np.float64]
# Machado, Oliveira and Fernandes, 2009: what is seen of linear RGB without one kind of cone.
SEEN = {
    "all": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(color: str) -> Color:
    values = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Color) -> Color:
    ratio = XYZ @ rgb.clip(0, 1) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    low, high = sorted((XYZ @ linear(c))[1] for c in (one, other))
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("mode", MODES)
def test_all_readers_tell_categories_and_methods_apart(mode: Mode, seen: str) -> None:
    theme = THEMES[mode]
    for colors in (list(theme.categories.values()), list(theme.methods)):
        for one, other in combinations(colors, 2):
            apart = lab(SEEN[seen] @ linear(one)) - lab(SEEN[seen] @ linear(other))
            # CIE 1976; 2.3 is just noticed.
            assert np.linalg.norm(apart) > 12, (one, other)


@pytest.mark.parametrize("mode", MODES)
def test_text_and_areas_stand_out_from_the_page(mode: Mode) -> None:
    theme = THEMES[mode]
    for words in (theme.text, theme.muted, theme.bad, theme.good):
        assert contrast(words, theme.background) > 4.5, words
    for area in (*theme.categories.values(), *theme.methods):
        assert contrast(area, theme.background) > 2, area


def test_every_part_of_memory_has_a_colour() -> None:
    for theme in THEMES.values():
        for name in (*CATEGORIES, *SPLIT, "unsplit"):
            assert theme.category(name).startswith("#")


def test_sixty_methods_look_different_and_stay_as_they_are_in_another_order() -> None:
    names = [f"method-{i:02}" for i in range(60)]
    assert len(set(looks(names, "light").values())) == 60
    assert looks(reversed(names), "dark") == looks(names, "dark")
    six = looks(names[:6], "light").values()
    assert len({look.marker for look in six}) == len({look.color for look in six}) == 6


def one(text: str = "words", name: str = "one") -> Figure:
    def draw(mode: Mode) -> Drawing:
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing()
        drawing.add_subplot().plot([1, 2], label=text)
        drawing.axes[0].set_title(text)
        return drawing

    return Figure(name, "One", "A line.", draw)


def test_files_are_named_after_the_figure_and_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    files = write([one()], tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "figures/one.png", "figures/one-dark.png",
    ]  # fmt: skip
    first = [file.read_bytes() for file in files]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "figure.dpi": 50}):
        assert [file.read_bytes() for file in write([one()], tmp_path)] == first
        assert matplotlib.rcParams["font.size"] == 30
    for file, mode in zip(files, MODES, strict=True):
        with Image.open(file) as image:
            assert image.size[0] == 1280
            assert "Software" not in image.info
            corner = image.convert("RGB").getpixel((0, 0))
        assert "#{:02X}{:02X}{:02X}".format(*corner) == THEMES[mode].background


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one"):
        write([one(), one()], tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["$", "$\\frac{", "{x}_^", "日本", "\u202eabc", "a\nb", "\\n%s"])
def test_any_text_can_be_drawn(text: str) -> None:
    assert png(one(text), "light").startswith(b"\x89PNG")
