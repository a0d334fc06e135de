"""The figures of a forecast report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.forecasting.cards import find_card
from harness.reporting.figures.growth import Panel, growth_figures

if TYPE_CHECKING:
    from harness.forecasting.result import Forecast, Swept
    from harness.reporting.figures.figure import Figure

UNITS: dict[Swept, str] = {"batch": "batch size", "length": "padded length, tokens"}


def method_of(entry: Forecast) -> str:
    """Return the method's label with the grid's values behind it, as records have it."""
    return " ".join(entry.cell.split("/")[2:-1])


def figures_of_sweeps(forecasts: Sequence[Forecast], caption: str) -> list[Figure]:
    """Return memory against each setting that was varied, for the cards that agree on it."""
    figures = []
    for what in dict.fromkeys(what for entry in forecasts for what in entry.sweeps):
        alike = _alike_cards(forecasts, what)
        for cards in alike:
            own = [entry for entry in forecasts if entry.gpu == cards[0]]
            figures += growth_figures(
                f"memory-by-{what}" + (f"-{cards[0]}" if len(alike) > 1 else ""),
                UNITS[what],
                caption,
                _panels(own, what),
                {name: find_card(name).capacity for name in cards},
            )
    return figures


def _alike_cards(forecasts: Sequence[Forecast], what: Swept) -> list[list[str]]:
    """Return the names of cards in groups for which every cell reserves the same."""
    curves: dict[str, dict[tuple[str, int], int | None]] = {}
    for entry in forecasts:
        points = {(entry.cell, at.value): at.reserved for at in entry.sweeps.get(what, ())}
        curves.setdefault(entry.gpu, {}).update(points)
    groups: list[list[str]] = []
    for gpu, points in curves.items():
        group = next((group for group in groups if curves[group[0]] == points), None)
        if group is None:
            groups.append([gpu])
        else:
            group.append(gpu)
    return groups


def _panels(forecasts: Sequence[Forecast], what: Swept) -> list[Panel]:
    """Return one panel per model and task; tasks whose curves are the same share one.

    Of several seeds the one that needs the most stands for all.
    """
    curves: dict[tuple[str, str], dict[str, dict[int, int]]] = {}
    for entry in forecasts:
        curve = curves.setdefault((entry.model, entry.task), {}).setdefault(method_of(entry), {})
        for at in entry.sweeps.get(what, ()):
            if at.reserved is not None:
                curve[at.value] = max(curve.get(at.value, 0), at.reserved)
    tasks: dict[str, list[tuple[list[str], dict[str, dict[int, int]]]]] = {}
    for (model, task), lines in curves.items():
        same = next(
            (names for names, others in tasks.setdefault(model, []) if others == lines), None
        )
        if same is None:
            tasks[model].append(([task], lines))
        else:
            same.append(task)
    return [
        Panel(f"{model}, {', '.join(names)}", lines)
        for model, parts in tasks.items()
        for names, lines in parts
    ]
