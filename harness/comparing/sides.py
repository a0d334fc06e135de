"""One side of a comparison: an environment, and the figures of cells that were made in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["forecast", "measured"]


@dataclass(frozen=True, order=True)
class Place:
    """What holds bytes at a peak: a category of the split, in a module.

    The category is empty where only the module is known.
    """

    category: str
    module: str


@dataclass(frozen=True)
class Figures:
    """One cell on one side.

    Attributes:
        settings: what the cell was asked to do, flat, by dotted name.
        sizes: bytes by name: `peak`, `reserved`, `at rest`, `evaluation`; a peak is there or
            `reason` says why not.
        part: of the step, in which the peak is.
        split: bytes at the peak by category.
        places: bytes at the peak by place, as far as they are listed.
        least: bytes up to which a place may be missing there; 0: all are listed.
        metric, score: the main one.
        step_seconds: median of the training steps.
        reason: why there are no figures.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    part: str = ""
    split: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[Place, int] = field(default_factory=dict)
    least: int = 0
    metric: str | None = None
    score: float | None = None
    step_seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Side:
    """All cells of one side.

    Attributes:
        name: a folder, a file, a revision, a requirement.
        kind: whether its bytes are forecast or measured.
        facts: the environment, by name; what it has not, is not there.
        cells: by path; a stage of its own and a card among several stand behind the path.
        notes: what is wrong with it or worth knowing.
    """

    name: str
    kind: Kind
    facts: Mapping[str, str]
    cells: Mapping[str, Figures]
    notes: tuple[str, ...] = ()


def listed(peak: int, held: Iterable[tuple[str, str, int]]) -> tuple[dict[Place, int], int]:
    """Sum up (category, module, bytes) by place.

    Returns:
        The sums; up to how many bytes a place may be missing: the least that is listed, where all
        together are less than the peak.
    """
    sums: Counter[Place] = Counter()
    least = peak
    for category, module, num_bytes in held:
        sums[Place(category, module)] += num_bytes
        least = min(least, num_bytes)
    return dict(sums), least if sums.total() < peak else 0


def together(values: Iterable[str | None]) -> str:
    """Return the distinct values of a fact as one text."""
    return " and ".join(dict.fromkeys(value for value in values if value))
