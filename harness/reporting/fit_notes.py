"""What the answer of `headroom fit` means, what it assumes, and all of it as data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.fitting.answer import Answer, Row
from harness.fitting.found import Found
from harness.fitting.plans import OfKind
from harness.models.attention import FLASH, FLASH_PACKAGE
from harness.reporting.fit import signed
from harness.suite.optimizers import BITSANDBYTES, OPTIMIZERS
from harness.timing.bar import at_least_text, rule
from harness.units import gib, milliseconds


def fit_notes(answer: Answer) -> list[str]:
    """Say what the figures are, what they assume and what loading takes."""
    card, shown = answer.wanted.card, list(_shown(answer))
    notes = [
        f"GiB: reserved and CUDA context, of {gib(card.usable)} on the card; batch: the most "
        f"examples of a forward pass that fit, at {answer.wanted.length:,} tokens; context: the "
        "most tokens of a pass of one example. Every figure is of a full forecast of these "
        "settings. 1 GiB = 2^30 B.",
        _verdicts(shown),
    ]
    if any(found.step for found in shown):
        notes.append(f"step: over the fastest row's. {rule()}")
    notes += dict.fromkeys(
        f"{found.candidate.kind.title}: {at_least_text(found.at_least)}."
        for found in shown
        if found.step and found.at_least
    )
    if any(row.length.all_there_is for row in answer.rows):
        notes.append(f"*: the model was made for {answer.positions:,} tokens.")
    host = " or ".join(f"{gib(count)} GiB in {kind}" for kind, count in answer.host.items())
    notes.append(f"Loading: all weights lie in the host's memory first, {host}.")
    notes += _packages(shown)
    assumed = dict.fromkeys(text for found in shown for text in found.worst.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    notes += answer.wanted.notes
    return notes + [f"error: {name}: {text}" for name, text in answer.errors.items()]


def _shown(answer: Answer) -> Iterable[Found]:
    yield from (row.found for row in answer.rows)
    for of in answer.over:
        yield from filter(None, (of.plain, of.change, of.leanest))


def _verdicts(shown: Iterable[Found]) -> str:
    errors = sorted({found.error for found in shown})
    listed = " or ".join(f"{100 * e.under:g} %" for e in errors)
    return (
        "uncertain: the known error of reserved bytes could turn it (19 of 20 measured runs "
        f"reserved at most {listed} more than forecast); tight: less than 3 % of the card left."
    )


def _packages(shown: Iterable[Found]) -> list[str]:
    """Say what has to be installed to train some of it, and how to search without."""
    trains = [found.cell.train for found in shown]
    notes = []
    if any(train.attention == FLASH for train in trains):
        notes.append(f"flash-attn needs the package {FLASH_PACKAGE}; without it: "
                     "train.attention=sdpa behind the model.")  # fmt: skip
    if any(train.dtypes.quantised or OPTIMIZERS[train.optimizer].package for train in trains):
        notes.append(f"nf4 and 8-bit AdamW need the package {BITSANDBYTES}.")
    return notes


def first_words(found: Found) -> str:
    """Return one line about a candidate that was just forecast."""
    how = ", ".join(found.candidate.words) or "plain"
    time = f", {milliseconds(found.step.seconds)} ms a step" if found.step else ""
    margin = signed(found.worst.margin)
    return f"{found.candidate.kind.title} ({how}): {found.verdict}, {margin} GiB left{time}"


def fit_data(answer: Answer) -> dict[str, Any]:
    """Return all of it for `--json`; bytes, seconds."""
    wanted = answer.wanted
    return {
        "model": wanted.model.name,
        "task": wanted.task,
        "gpu": wanted.card.name,
        "batch": wanted.batch,
        "length": wanted.length,
        "rows": [_row(row) for row in answer.rows],
        "does_not_fit": [_of_kind(of) for of in answer.over],
        "errors": answer.errors,
        "host_bytes": answer.host,
        "positions": answer.positions,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        **_found(row.found),
        "leanest": row.leanest,
        "largest_batch": row.batch.value,
        "longest": row.length.value,
    }


def _of_kind(of: OfKind) -> dict[str, Any]:
    return {
        "kind": of.kind.title,
        "plain": of.plain and _found(of.plain),
        "best_change": of.change and _found(of.change),
        "leanest": of.leanest and _found(of.leanest),
    }


def _found(found: Found) -> dict[str, Any]:
    candidate = found.candidate
    return {
        "label": candidate.label,
        "verdict": found.verdict,
        "known_error": found.error._asdict(),
        "examples": candidate.examples,
        "passes": candidate.passes,
        "settings": dict(candidate.settings),
        "forecasts": [entry.model_dump(mode="json") for entry in found.entries],
    }
