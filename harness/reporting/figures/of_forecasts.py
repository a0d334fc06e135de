"""The figures of a forecast report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.env import MEMORY_PACKAGES
from harness.forecasting.cards import find_card
from harness.reporting.figures.bars import Bar, stacked
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.growth import Panel, growth_figures
from harness.reporting.figures.theme import FAMILY, LIGHT
from harness.reporting.forecasts import without_common_parts
from harness.reporting.stage_names import stage_of
from harness.reporting.swept import alike_cards

if TYPE_CHECKING:
    from harness.forecasting.result import Forecast, Swept

UNITS: Mapping[Swept, str] = {"batch": "batch size", "length": "padded length (tokens)"}
LINES = "Lines: what may be reserved on a card, its memory less CUDA's context."
MOST_BARS = 60  # in one figure; more are cut by model, then anywhere


def figures_of_forecasts(forecasts: Sequence[Forecast]) -> list[Figure]:
    """Return what each cell's memory is made of, and memory against each varied setting.

    Cards for which kernels choose otherwise get figures of their own.
    """
    groups = alike_cards(forecasts)
    found: list[Figure] = []
    for cards in groups:
        ending = f"-{cards[0]}" if len(groups) > 1 else ""
        own = [entry for entry in forecasts if entry.gpu == cards[0]]
        found += _bars(own, cards, ending)
        for what in dict.fromkeys(what for entry in own for what in entry.sweeps):
            found += _growth(own, what, cards, ending)
    return found


def conditions(forecasts: Sequence[Forecast]) -> str:
    """Say what the forecasts are of: card, kernels, precision, versions."""
    settings = ("precision", "attention", "gradient_checkpointing", "capability")
    said = {name: "/".join(dict.fromkeys(f.choices[name] for f in forecasts))
            for name in (*settings, *MEMORY_PACKAGES)}  # fmt: skip
    return f"Forecast without a GPU; {', '.join(f'{name} {said[name]}' for name in said)}."


def _methods(forecasts: Sequence[Forecast]) -> dict[str, str]:
    """Return each cell's method, with those of the grid's values that are not the same for all."""
    parts = {entry.cell: entry.cell.split("/")[2:-1] for entry in forecasts}
    shared = set.intersection(*(set(axes) for _, *axes in parts.values()))
    return {
        cell: " ".join([method, *(axis for axis in axes if axis not in shared)])
        for cell, (method, *axes) in parts.items()
    }


def _bars(forecasts: Sequence[Forecast], cards: Sequence[str], ending: str) -> list[Figure]:
    models = dict.fromkeys(entry.model for entry in forecasts)
    whole = [forecasts]
    if len(forecasts) > MOST_BARS:
        whole = [[entry for entry in forecasts if entry.model == model] for model in models]
    parts = [part[i : i + MOST_BARS] for part in whole for i in range(0, len(part), MOST_BARS)]
    lines = {name: find_card(name).capacity for name in cards}
    found = []
    for number, part in enumerate(parts, start=1):
        short, shared = without_common_parts(dict.fromkeys(entry.cell for entry in part))
        bars = [_bar(entry, label) for entry, label in zip(part, _labels(part, short), strict=True)]
        found.append(Figure(
            f"memory{ending}" + f"-{number}" * (len(parts) > 1),
            f"What must be reserved{shared}" + f", {number} of {len(parts)}" * (len(parts) > 1),
            "The split is that of training at its peak, as torch counts what is allocated; cached: "
            "what the allocator holds beyond that, also for evaluation and a method's probe. "
            f"{LINES} {conditions(part)}",
            partial(stacked, bars, "reserved memory", cards=lines, rest="cached"),
        ))  # fmt: skip
    return found


def _labels(forecasts: Sequence[Forecast], short: Mapping[str, str]) -> list[str]:
    """Return the cells' names, once for all stages."""
    befores = [None, *(entry.cell for entry in forecasts[:-1])]
    return [
        stage_of("" if entry.cell == before else short[entry.cell], entry.stage)
        for before, entry in zip(befores, forecasts, strict=True)
    ]


def _bar(entry: Forecast, label: str) -> Bar:
    sums: dict[str, int] = {}
    for name, size in entry.split.items():
        family = FAMILY.get(name, name)
        sums[family] = sums.get(family, 0) + size
    parts = {name: sums[name] for name in LIGHT.categories if name in sums}
    reserved = max((need.reserved or need.allocated for need in entry.needs.values()), default=None)
    return Bar(label, parts, reserved, failed="no forecast" if entry.error else "")


def _growth(
    forecasts: Sequence[Forecast], what: Swept, cards: Sequence[str], ending: str
) -> list[Figure]:
    caption = (
        "Reserved memory by the stage and activity of a run that need the most; all other settings "
        "as each cell has them. Methods within 0.5 % of each other share a line. "
        f"{LINES} {conditions(forecasts)}"
    )
    lines = {name: find_card(name).capacity for name in cards}
    return growth_figures(
        f"memory-by-{what}{ending}", UNITS[what], caption, _panels(forecasts, what), lines
    )


def _panels(forecasts: Sequence[Forecast], what: Swept) -> list[Panel]:
    """Return one panel per model and task; tasks whose curves are the same share one.

    Of several seeds the one that needs the most stands for all.
    """
    methods = _methods(forecasts)
    curves: dict[tuple[str, str], dict[str, dict[int, int]]] = {}
    for entry in forecasts:
        lines = curves.setdefault((entry.model, entry.task), {})
        curve = lines.setdefault(methods[entry.cell], {})
        for at in entry.sweeps.get(what, ()):
            if at.needed is not None:
                curve[at.value] = max(curve.get(at.value, 0), at.needed)
    shared: dict[str, list[tuple[list[str], dict[str, dict[int, int]]]]] = {}
    for (model, task), lines in curves.items():
        parts = shared.setdefault(model, [])
        names = next((names for names, others in parts if others == lines), None)
        if names is None:
            parts.append(([task], lines))
        else:
            names.append(task)
    return [
        Panel(f"{model}, {', '.join(names)}", lines)
        for model, parts in shared.items()
        for names, lines in parts
    ]
