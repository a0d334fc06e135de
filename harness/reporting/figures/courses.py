"""Memory over the steps of a run, by category, with the steps in which tensors froze."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.record import Memory, PhaseMemory
from harness.reporting.comparison import SPLIT, coarse
from harness.reporting.figures.bars import VISIBLE
from harness.reporting.figures.theme import THEMES, WIDTH, Mode, Theme
from harness.reporting.figures.words import shown, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

COLUMNS = 2
TITLE = 90  # characters above all panels of a line
MOST = 8  # panels in one figure
HEADROOM = 1.12  # times the largest peak: the triangles stand above it
IN_A_LINE = 6  # entries of a legend
NARROW = 0.02  # of a run's steps: shorter phases in a row would be a few dots each
REST = "not split"


@dataclass(frozen=True)
class Stretch:
    """What is drawn as one: a phase, or short ones in a row.

    Attributes:
        first: its first step.
        peak: bytes; the largest of its phases'.
        parts: bytes by part of the tables, at the peak; what the peak has beyond them is in `REST`.
        mean: of the peaks of its steps; None: unknown.
    """

    first: int
    steps: int
    peak: int
    parts: dict[str, int]
    mean: float | None

    @classmethod
    def of(cls, phases: Sequence[PhaseMemory]) -> Stretch:
        """Return the stretch of at least one phase."""
        largest = max(phases, key=lambda phase: phase.peak_allocated)
        parts = coarse(largest.split)
        parts[REST] = max(0, largest.peak_allocated - sum(parts.values()))
        steps = sum(phase.steps for phase in phases)
        known = [p.peak_mean * p.steps for p in phases if p.peak_mean is not None]
        mean = sum(known) / (steps or 1) if len(known) == len(phases) else None
        return cls(phases[0].first_step, steps, largest.peak_allocated, parts, mean)


@dataclass(frozen=True)
class Course:
    """One run.

    Attributes:
        memory: its phases in order, at least one.
        baseline: the peak of the run that it is compared with; bytes.
    """

    title: str
    memory: Memory
    baseline: int | None = None

    @property
    def top(self) -> int:
        """The largest peak that is drawn; of odd records the largest split."""
        return max(*(sum(s.parts.values()) for s in self.stretches), self.baseline or 0)

    @property
    def narrow(self) -> float:
        """Steps; what is shorter has no line beside it, and is drawn with its short neighbours."""
        return NARROW * sum(phase.steps for phase in self.memory.phases)

    @cached_property
    def stretches(self) -> list[Stretch]:
        """What is drawn, in order."""
        groups: list[list[PhaseMemory]] = []
        for phase in self.memory.phases:
            before = sum(p.steps for p in groups[-1]) if groups else self.narrow
            if max(phase.steps, before) < self.narrow:
                groups[-1].append(phase)
            else:
                groups.append([phase])
        return [Stretch.of(group) for group in groups]

    @property
    def merged(self) -> bool:
        """Whether phases are drawn together."""
        return len(self.stretches) < len(self.memory.phases)

    @property
    def rest(self) -> bool:
        """Whether what no part holds is to be seen."""
        return any(stretch.parts[REST] > VISIBLE * self.top for stretch in self.stretches)

    @property
    def edges(self) -> list[int]:
        """The steps in which stretches begin, and the end."""
        last = self.stretches[-1]
        return [*(s.first for s in self.stretches), last.first + last.steps]


def courses(runs: Sequence[Course], baseline: str | None, mode: Mode) -> Drawing:
    """Draw a panel per run, all on one scale of memory.

    Args:
        runs: at least one.
        baseline: name of what `Course.baseline` is of.
        mode: of the page.
    """
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    columns = min(COLUMNS, len(runs))
    rows = math.ceil(len(runs) / columns)
    drawing = Drawing(figsize=(WIDTH, 0.9 + (2.2 if rows > 1 else 2.7) * rows))
    grid = drawing.subplots(rows, columns, squeeze=False, sharey=True)
    unit = unit_of(max(run.top for run in runs))
    parts = [
        part
        for part in (*SPLIT, REST)
        if any(s.parts[part] > VISIBLE * run.top for run in runs for s in run.stretches)
    ]
    for axes, run in zip(grid.flat, runs, strict=False):
        _draw(axes, run, parts, unit[0], theme)
        axes.set_title(shown(run.title, TITLE // columns))
    for axes in list(grid.flat)[len(runs) :]:
        axes.remove()
    grid[0, 0].set_ylim(0, HEADROOM * (max(run.top for run in runs) or 1) / unit[0])
    for axes in grid[:, 0]:
        axes.set_ylabel(f"peak ({unit[1]})")
    for place, axes in enumerate(grid.flat[: len(runs)]):
        if place + columns >= len(runs):
            axes.set_xlabel("optimizer step")
    _legend(drawing, runs, parts, baseline, theme)
    return drawing


def _draw(axes: Axes, run: Course, parts: Sequence[str], unit: int, theme: Theme) -> None:
    from matplotlib.patheffects import withStroke

    stretches, edges, floor = run.stretches, run.edges, [0.0] * len(run.edges)
    for part in parts:
        sizes = [s.parts[part] / unit for s in stretches]
        top = [low + size for low, size in zip(floor, [*sizes, sizes[-1]], strict=True)]
        color = _color(part, theme)
        axes.fill_between(edges, floor, top, step="post", color=color, linewidth=0)
        floor = top
    for one, other in pairwise(stretches):
        if min(one.steps, other.steps) >= run.narrow:
            high = max(one.peak, other.peak) / unit
            axes.vlines(other.first, 0, high, color=theme.background, linewidth=0.7)
    begins = edges[1:-1]
    axes.plot(
        begins, [1.05 * run.top / unit] * len(begins), "v", color=theme.text, markersize=4,
        linestyle="",
    )  # fmt: skip
    means = [s.mean for s in stretches]
    if None not in means:
        heights = [(mean or 0) / unit for mean in means]
        rim = [withStroke(linewidth=2.6, foreground=theme.background)]
        axes.step(
            edges, [*heights, heights[-1]], where="post", color=theme.text, linewidth=1,
            path_effects=rim,
        )  # fmt: skip
    if run.baseline:
        axes.axhline(run.baseline / unit, color=theme.muted, linestyle=(0, (4, 3)), linewidth=1)
    axes.set_xlim(edges[0], max(edges[-1], edges[0] + 1))
    axes.locator_params(axis="x", integer=True)


def _color(part: str, theme: Theme) -> str:
    return theme.grid if part == REST else theme.category(part)


def _legend(
    drawing: Drawing,
    runs: Sequence[Course],
    parts: Sequence[str],
    baseline: str | None,
    theme: Theme,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[object] = [Patch(color=_color(part, theme), label=part) for part in parts]
    if any(phase.peak_mean is not None for run in runs for phase in run.memory.phases):
        handles.append(Line2D([], [], color=theme.text, linewidth=1, label="mean over steps"))
    marker = Line2D([], [], color=theme.text, marker="v", markersize=4, linestyle="")
    marker.set_label("a phase begins")
    handles.append(marker)
    if baseline is not None and any(run.baseline for run in runs):
        dashed = Line2D([], [], color=theme.muted, linestyle=(0, (4, 3)), linewidth=1)
        dashed.set_label(f"peak of {shown(baseline, 24)}")
        handles.append(dashed)
    columns = len(handles) if len(handles) <= IN_A_LINE else math.ceil(len(handles) / 2)
    drawing.legend(
        handles=handles, loc="outside upper left", ncols=columns, columnspacing=1.2,
        handlelength=1.4,
    )  # fmt: skip
