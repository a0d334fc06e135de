"""What holds a cell's peak, and what would take it away, as tables and as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.forecasting.against import within
from harness.forecasting.explain import Explanation, Remedy, need_of, seconds_of
from harness.forecasting.result import Forecast
from harness.forecasting.step_time import MeanStep
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.devices import head_notes, heads
from harness.reporting.forecasts import fit_text, percent
from harness.reporting.layers import layer_files, layer_text
from harness.simulation.step_forecast import Hold
from harness.timing.bar import at_least_text, rule
from harness.units import gib, milliseconds

NUM_HOLDS = 16


def explanation_tables(explanation: Explanation) -> list[Table[Any]]:
    """Return what is alive at the peak, what single changes would save, and several together."""
    peak = explanation.step.peak_allocated
    title = f"{explanation.cell.path}: {gib(peak)} GiB, reached in {explanation.step.peak_mark}"
    holds = explanation.step.holds[:NUM_HOLDS]
    rest = peak - sum(hold.num_bytes for hold in holds)
    others = Hold(category="", path="everything else", op="", num_bytes=rest, num_blocks=0)
    of_holds = _hold_columns(peak, explanation.step.classes)
    tables: list[Table[Any]] = [Table(title, of_holds, [*holds, others])]
    last, every = _remedy_columns(explanation, _last), _remedy_columns(explanation, _every)
    if explanation.remedies:
        tables.append(Table("One change at a time", last, explanation.remedies))
    if explanation.enough:
        title = (
            f"Together they fit {explanation.cards[0].name}, faster than any single one that does"
        )
        tables.append(Table(title, every, explanation.enough))
    if explanation.together:
        tables.append(Table("Together with all above", last, explanation.together))
    return tables


def explanation_notes(explanation: Explanation) -> list[str]:
    """Say what the cell's own verdicts are, and what is no help."""
    verdicts = ", ".join(f"{gpu}: {fit_text(e)}" for gpu, e in explanation.entries.items())
    notes = [
        f"As it is, on {verdicts}.",
        "peak: allocated, the most of training, evaluation and probe; cards: margin over what is "
        "reserved and the CUDA context; cpu: over the peak. GiB, 1 GiB = 2^30 B.",
        *head_notes(card.name for card in explanation.cards),
        f"Changes: what fits {explanation.cards[0].name} first, of it the fastest; of the others "
        "what saves most.",
    ]
    timed = time_notes("", explanation.entries)
    if timed:
        notes += [*timed, "time: a step's over that of the cell as it is, and in ms.", rule()]
    notes += file_notes([_class_of(hold, explanation.step.classes)
                         for hold in explanation.step.holds[:NUM_HOLDS]])  # fmt: skip
    if explanation.useless:
        notes.append(f"Saves nothing here: {'; '.join(explanation.useless)}.")
    return notes + [f"Not possible: {text}: {why}" for text, why in explanation.impossible.items()]


def explanation_data(explanation: Explanation) -> dict[str, Any]:
    """Return all of it for `--json`; bytes."""

    def told(remedy: Remedy) -> dict[str, Any]:
        return {
            "changes": list(remedy.changes),
            "by_gpu": {g: e.model_dump(mode="json") for g, e in remedy.by_gpu.items()},
        }

    return {
        "cell": explanation.cell.path,
        "peak_mark": explanation.step.peak_mark,
        "holds": [hold.model_dump(mode="json") for hold in explanation.step.holds],
        "classes": explanation.step.classes,
        "by_gpu": {g: e.model_dump(mode="json") for g, e in explanation.entries.items()},
        "remedies": [told(remedy) for remedy in explanation.remedies],
        "enough": [told(remedy) for remedy in explanation.enough],
        "together": [told(remedy) for remedy in explanation.together],
        "useless": explanation.useless,
        "impossible": explanation.impossible,
    }


def time_notes(name: str, entries: Mapping[str, Forecast]) -> list[str]:
    """Say on what a cell's step time hangs, on each card that has one."""
    notes = []
    for gpu, entry in entries.items():
        if entry.step_time is not None:
            time, whose = entry.step_time, name and f" of {name}"
            unknown = at_least_text(time.at_least)
            notes.append(
                f"A step{whose} on {gpu}: {lower(time)}{milliseconds(time.seconds)} ms; "
                f"host {milliseconds(time.host)}, device {milliseconds(time.device)}: "
                f"the {time.bar.binds} binds{unknown and f'; {unknown}'}."
            )
    return notes


def file_notes(classes: list[str]) -> list[str]:
    """Say in which files the layers are written that a table names."""
    layers: dict[str, list[str]] = {}
    for layer, file in layer_files(classes).items():
        layers.setdefault(file, []).append(layer)
    told = "; ".join(f"{file}: {', '.join(names)}" for file, names in layers.items())
    return [f"Layers are written in {told}."] if told else []


def _class_of(hold: Hold, classes: dict[str, str]) -> str:
    return classes.get(within(hold.path, classes), "")


def _hold_columns(peak: int, classes: dict[str, str]) -> list[Column[Hold]]:
    return [
        words("where", lambda hold: hold.path or "(outside of modules)"),
        words("layer", lambda hold: layer_text(_class_of(hold, classes))),
        words("what", lambda hold: hold.category),
        words("made by", lambda hold: hold.op.removeprefix("aten::")),
        number("blocks", lambda hold: hold.num_blocks, lambda n: str(n or ""), "blocks"),
        number("GiB", lambda hold: hold.num_bytes, gib, "held (B)"),
        number("of the peak", lambda hold: hold.num_bytes / peak, percent,
               "of the peak (fraction)"),
    ]  # fmt: skip


def _last(remedy: Remedy) -> str:
    return remedy.changes[-1]


def _every(remedy: Remedy) -> str:
    return " + ".join(change.partition(" (")[0] for change in remedy.changes)


def _remedy_columns(
    explanation: Explanation, name: Callable[[Remedy], str]
) -> list[Column[Remedy]]:
    peak = need_of(explanation.step)
    columns: list[Column[Remedy]] = [
        words("change", name),
        number("peak", lambda r: need_of(r.step), gib, "peak (B)"),
        number("saves", lambda r: 1 - need_of(r.step) / peak, percent, "saves (fraction)"),
    ]
    short = heads(card.name for card in explanation.cards)
    for card in explanation.cards:
        columns.append(_card_column(card.name, short[card.name]))
        before = seconds_of(explanation.entries[card.name])
        if before:
            columns.append(_time_column(card.name, short[card.name], before))
    return columns


def _card_column(gpu: str, head: str) -> Column[Remedy]:
    return Column(
        head,
        lambda remedy: remedy.by_gpu[gpu],
        fit_text,
        {gpu: lambda entry: entry.fits, f"{gpu} margin (B)": lambda entry: entry.margin},
    )


def lower(time: MeanStep) -> str:
    """Return what stands before a time that is a lower bound."""
    return ">= " if time.at_least else ""


def _time_column(gpu: str, head: str, before: float) -> Column[Remedy]:
    """Return a step's time on a card, over that of the cell as it is."""
    return Column(
        f"time on {head}",
        lambda remedy: remedy.by_gpu[gpu].step_time,
        lambda now: f"{now.seconds / before:.2f} ({lower(now)}{milliseconds(now.seconds)} ms)",
        {f"time on {gpu} (s)": lambda now: now.seconds},
    )
