"""How figures look: colours that colour-blind readers tell apart, sizes for a README's width.

Widths: 8 inches at 160 dots are 1,280 pixels, which a README shows at about 830.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["light", "dark"]
MODES: tuple[Mode, ...] = ("light", "dark")
WIDTH = 8.0  # inches
DPI = 160
# Methods beyond these colours start again with other markers: 60 of them look different.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LARGER = {"*": 1.6, "P": 1.15, "X": 1.15, "D": 0.9}  # what looks smaller at the same width
# What the ledger and the tables call a part of memory, and whose colour it has.
FAMILY = {"weights.base": "weights", "weights.adapter": "weights", "unsplit": "temporary"}


@dataclass(frozen=True)
class Theme:
    """One page's colours, as #RRGGBB.

    Attributes:
        background: of the figure.
        text: of words and axes; `muted`: of what stands back, such as lines of cards.
        grid: of lines behind the data.
        categories: of memory, bottom of a stack first.
        methods: by place in the order of their names.
        good: what stands out, such as a Pareto front; `bad`: failures, under-estimates.
    """

    background: str
    text: str
    muted: str
    grid: str
    categories: Mapping[str, str]
    methods: tuple[str, ...]
    good: str
    bad: str

    def category(self, name: str) -> str:
        """Return the colour of a part of memory, by the ledger's name or the tables'."""
        return self.categories[FAMILY.get(name, name)]


LIGHT = Theme(
    background="#FFFFFF",
    text="#1F2328",
    muted="#656D76",
    grid="#E4E7EB",
    categories={
        "weights": "#A3AEBC",
        "gradients": "#A8371A",
        "optimizer": "#EA9A0E",
        "activations": "#2166D1",
        "temporary": "#123F57",
        "method": "#9850A6",
        "inputs": "#12B07A",
    },
    methods=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    good="#12805C",
    bad="#C0392B",
)
DARK = Theme(
    background="#0D1117",
    text="#E6EDF3",
    muted="#9198A1",
    grid="#272D36",
    categories={
        "weights": "#7E8A97",
        "gradients": "#E0533A",
        "optimizer": "#F2BC45",
        "activations": "#3A94EE",
        "temporary": "#C3E1EC",
        "method": "#B05CB8",
        "inputs": "#3DDC97",
    },
    methods=("#2F9BE6", "#F0763A", "#2CC295", "#D77FB0", "#F2BC45", "#9BD5F7"),
    good="#3DDC97",
    bad="#FF7B6B",
)
THEMES: dict[Mode, Theme] = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    color: str
    marker: str

    def size(self, width: float) -> float:
        """Return the marker's size in points, so that all look as large as a circle of `width`."""
        return width * LARGER.get(self.marker, 1)


def looks(methods: Iterable[str], mode: Mode) -> dict[str, Look]:
    """Return how each method looks: by its place among all methods' names, in every figure."""
    colors = THEMES[mode].methods
    return {
        name: Look(colors[i % len(colors)], MARKERS[(i + i // len(colors)) % len(MARKERS)])
        for i, name in enumerate(sorted(set(methods)))
    }


@contextmanager
def style(mode: Mode) -> Iterator[Theme]:
    """Draw as the theme says inside of the block, whatever the user's matplotlib is set to.

    Text is text: a dollar sign begins no formula, and a character that the font lacks is a box.
    """
    import matplotlib

    theme = THEMES[mode]
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings(theme))
        yield theme


def _settings(theme: Theme) -> Any:  # matplotlib's names of settings differ by version
    from cycler import cycler

    return {
        "figure.figsize": (WIDTH, 4.5),
        "figure.dpi": DPI,
        "figure.facecolor": theme.background,
        "figure.constrained_layout.use": True,
        "savefig.dpi": "figure",
        "savefig.facecolor": theme.background,
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "text.color": theme.text,
        "text.parse_math": False,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.text,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=theme.methods),
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.text,
        "ytick.labelcolor": theme.text,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "legend.labelcolor": theme.text,
        "hatch.linewidth": 0.6,
        "patch.edgecolor": theme.background,
    }
