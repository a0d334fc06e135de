"""Memory over the steps of a run, by category, with the steps in which tensors froze."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.record import Memory
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
IN_A_LINE = 6  # entries of a legend
LINES = 24  # changes that are lines; more would hide the areas


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
        """The largest peak that is drawn."""
        return max(*(p.peak_allocated for p in self.memory.phases), self.baseline or 0)

    @property
    def edges(self) -> list[int]:
        """The steps in which phases begin, and the end."""
        last = self.memory.phases[-1]
        return [*(p.first_step for p in self.memory.phases), last.first_step + last.steps]


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
        for part in SPLIT
        if any(
            _sizes(run, part, 1) and max(_sizes(run, part, 1)) > VISIBLE * run.top for run in runs
        )
    ]
    for axes, run in zip(grid.flat, runs, strict=False):
        _draw(axes, run, parts, unit[0], theme)
        axes.set_title(shown(run.title, TITLE // columns))
    for axes in list(grid.flat)[len(runs) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel(f"peak ({unit[1]})")
    for place, axes in enumerate(grid.flat[: len(runs)]):
        if place + columns >= len(runs):
            axes.set_xlabel("optimizer step")
    _legend(drawing, runs, parts, baseline, theme)
    return drawing


def _sizes(run: Course, part: str, unit: int) -> list[float]:
    return [coarse(phase.split)[part] / unit for phase in run.memory.phases]


def _draw(axes: Axes, run: Course, parts: Sequence[str], unit: int, theme: Theme) -> None:
    from matplotlib.patheffects import withStroke

    edges, floor = run.edges, [0.0] * len(run.edges)
    for part in parts:
        sizes = _sizes(run, part, unit)
        top = [low + size for low, size in zip(floor, [*sizes, sizes[-1]], strict=True)]
        axes.fill_between(edges, floor, top, step="post", color=theme.category(part), linewidth=0)
        floor = top
    changes = edges[1:-1]
    for step in changes if len(changes) <= LINES else ():
        axes.axvline(step, color=theme.background, linewidth=0.7)
    high = run.top / unit
    axes.plot(
        changes, [1.03 * high] * len(changes), "v", color=theme.text, markersize=4, linestyle="",
        clip_on=False,
    )  # fmt: skip
    means = [phase.peak_mean for phase in run.memory.phases]
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
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)


def _legend(
    drawing: Drawing,
    runs: Sequence[Course],
    parts: Sequence[str],
    baseline: str | None,
    theme: Theme,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[object] = [Patch(color=theme.category(part), label=part) for part in parts]
    if any(phase.peak_mean is not None for run in runs for phase in run.memory.phases):
        handles.append(Line2D([], [], color=theme.text, linewidth=1, label="mean over steps"))
    marker = Line2D([], [], color=theme.text, marker="v", markersize=4, linestyle="")
    marker.set_label("what trains changes")
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
