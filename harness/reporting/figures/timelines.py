"""One step's memory over its course, stacked: by category and by module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.reporting.figures.figure import Figure, Mode
from harness.reporting.figures.places import REST, grouped
from harness.reporting.figures.theme import FAMILY, THEMES, WIDTH, Theme
from harness.reporting.figures.words import amount, shown, unit_of
from harness.simulation.timeline import UNSPLIT
from harness.units import gib

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from harness.simulation.timeline import Timeline

HARDLY = 0.002  # of the peak: what never holds more is not to be seen, and has no name below
LONG = 48  # characters of a module's name, of which two stand side by side
NARROW = 0.07  # of the width: a part of the step that is narrower has no label


def timeline_figures(line: Timeline, cell: str, caption: str) -> list[Figure]:
    """Return the step by category and by module.

    Args:
        line: of one step.
        cell: whose it is.
        caption: which card, kernels and versions.
    """
    size = " x ".join(str(number) for number in line.shape)
    about = (
        f"Training step {line.step + 1} of {cell} (batch {size}) on tensors without values: "
        f"{line.num_events:,} births and deaths of memory in their order, which is no scale of "
        f"time. Allocated is what torch counts, {gib(max(line.allocated))} GiB at most; reserved "
        "is what a replay of the caching allocator holds, "
        f"{gib(max(line.reserved))} GiB at most. {caption}"
    )
    groups = grouped(
        {**line.places, "": _plus(line.places.get("", []), line.categories[UNSPLIT])},
        len(THEMES["light"].methods),
    )

    def by_category(mode: Mode) -> Drawing:
        theme = THEMES[mode]
        stack = _by_family(line.categories, theme.categories)
        return _drawn(line, stack, [theme.categories[name] for name in stack], mode)

    def by_module(mode: Mode) -> Drawing:
        theme = THEMES[mode]
        colors = [theme.muted if name == REST else theme.methods[number]
                  for number, name in enumerate(groups)]  # fmt: skip
        return _drawn(line, groups, colors, mode)

    return [
        Figure("timeline-category", "One step, by what memory is for", about, by_category),
        Figure("timeline-module", "One step, by module",
               "The same step. Layers are summed up under *; weights, gradients and optimizer "
               f"state stand at their module. {caption}", by_module),
    ]  # fmt: skip


def _by_family(
    categories: Mapping[str, Sequence[int]], order: Mapping[str, str]
) -> dict[str, list[int]]:
    """Return what is ever there, by the names that have colours, bottom of the stack first."""
    sums: dict[str, list[int]] = {}
    for name, values in categories.items():
        family = FAMILY.get(name, name)
        sums[family] = _plus(sums.get(family, []), values)
    return {name: sums[name] for name in order if any(sums.get(name, ()))}


def _plus(ours: Sequence[int], theirs: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(ours, theirs, strict=True)] if ours else [*theirs]


def _drawn(
    line: Timeline, stack: Mapping[str, Sequence[int]], colors: Sequence[str], mode: Mode
) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    theme = THEMES[mode]
    drawing = Drawing(figsize=(WIDTH, 4.6))
    axes = drawing.subplots()
    unit, word = unit_of(max(line.allocated))
    scaled = [[value / unit for value in values] for values in stack.values()]
    axes.stackplot(line.numbers, *scaled, colors=colors, labels=list(stack), linewidth=0)
    if any(line.reserved):
        axes.plot(line.numbers, [value / unit for value in line.reserved], color=theme.text,
                  linewidth=1.2, linestyle=(0, (4, 2)), label="reserved")  # fmt: skip
    axes.set_xlim(0, line.num_events)
    axes.set_ylim(0, 1.2 * max(*line.allocated, *line.reserved) / unit)
    axes.set_ylabel(f"memory ({word})")
    axes.set_xlabel("births and deaths of memory, in their order")
    axes.grid(visible=False, axis="x")
    _mark_parts(axes, line, theme.muted)
    _mark_peak(axes, line, unit, word, theme)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    handles, labels = axes.get_legend_handles_labels()
    top = max(line.allocated)
    seen = [(handle, label) for handle, label in zip(handles, labels, strict=True)
            if label not in stack or max(stack[label]) > HARDLY * top]  # fmt: skip
    drawing.legend(
        [handle for handle, _ in seen], [_shortened(label) for _, label in seen],
        loc="outside lower center", ncols=2 if max(map(len, stack)) > 16 else len(seen),
        handlelength=1.5, columnspacing=1.5,
    )  # fmt: skip
    return drawing


def _shortened(label: str) -> str:
    """Return a long module's name without its beginning."""
    while len(label) > LONG and "." in label:
        label = f"…{label.partition('.')[2]}"
    return shown(label, LONG)


def _mark_parts(axes: Any, line: Timeline, color: str) -> None:
    ends = [*(number for _, number in line.parts[1:]), line.num_events]
    for (name, start), end in zip(line.parts, ends, strict=True):
        if start > NARROW / 10 * line.num_events:  # else the axis is there
            axes.axvline(start, color=color, linewidth=0.8)
        if end - start >= NARROW * line.num_events:
            axes.annotate(name, (start, 1), xycoords=("data", "axes fraction"), va="top",
                          xytext=(4, -3), textcoords="offset points", fontsize=9)  # fmt: skip


def _mark_peak(axes: Any, line: Timeline, unit: int, word: str, theme: Theme) -> None:
    """Put a point on the peak, and its figure above the line of what is reserved."""
    at = line.peak
    x, y = line.numbers[at], line.allocated[at] / unit
    axes.plot([x], [y], marker="o", markersize=5, color=theme.text,
              markeredgecolor=theme.background)  # fmt: skip
    right = x < 0.75 * line.num_events
    axes.annotate(
        f"peak {amount(line.allocated[at], unit)} {word}", (x, max(y, max(line.reserved) / unit)),
        ha="left" if right else "right", xytext=(7 if right else -7, 5),
        textcoords="offset points", fontsize=9, weight="bold",
    )  # fmt: skip
