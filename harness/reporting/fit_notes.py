"""What the answer of `headroom fit` means, what it assumes, and all of it as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.fitting.answer import Answer, Row
from harness.fitting.found import Found
from harness.fitting.limits import MOST_EXAMPLES
from harness.fitting.plans import OfKind
from harness.models.attention import FLASH, FLASH_PACKAGE
from harness.reporting.fit import in_words
from harness.suite.optimizers import BITSANDBYTES, OPTIMIZERS
from harness.timing.bar import at_least_text, rule_of
from harness.units import gib


def fit_notes(answer: Answer) -> list[str]:
    """Say what the figures on the screen are, what they assume and what loading takes."""
    shown = list(_shown(answer))
    notes = [*_beyond(answer), *answer.wanted.notes]
    if shown:
        notes += [_figures(answer), *_verdicts(shown), *_times(answer, shown)]
    else:
        notes.append("There is no forecast of any of it.")
    if answer.host:
        host = " or ".join(f"{gib(count)} GiB in {kind}" for kind, count in answer.host.items())
        notes.append(f"Loading: all weights lie in the host's memory first, {host}.")
    notes += _packages(shown)
    assumed = dict.fromkeys(text for found in shown for text in found.worst.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    return notes + [f"error: {name}: {text}" for name, text in answer.errors.items()]


def _beyond(answer: Answer) -> list[str]:
    """Warn of examples that are longer than what the model was made for."""
    made, wanted = answer.positions, answer.wanted
    if made is None or wanted.length <= made or not wanted.has_length:
        return []
    return [
        f"Warning: {wanted.length:,} tokens are {wanted.length / made:.3g} times what "
        f"{wanted.model.name} was made for ({made:,}): the bytes hold, its positions beyond that "
        "were never trained."
    ]


def _figures(answer: Answer) -> str:
    """Say what the columns are; those of limits stand in the table of what fits alone."""
    card, made = answer.wanted.card, answer.positions
    text = f"GiB: reserved and CUDA context, of {gib(card.usable)} on the card (1 GiB = 2^30 B)"
    if answer.rows:
        text += (f"; batch: the most examples of a forward pass that fit, at "
                 f"{answer.wanted.length:,} tokens; context: the most tokens of a pass of one "
                 "example")  # fmt: skip
    if any(row.length.all_there_is for row in answer.rows):
        most = max(made or 0, answer.wanted.length)
        why = "the model was made for" if most == made else "--length asks for"
        text += f"; *: more than the {most:,} tokens that {why} were not tried"
    if any(row.batch.all_there_is for row in answer.rows):
        text += f"; * of a batch: more than {MOST_EXAMPLES:,} were not tried"
    return f"{text}. Every figure is of a full forecast of these settings."


def _shown(answer: Answer) -> Iterable[Found]:
    yield from (row.found for row in answer.rows)
    for of in answer.over:
        yield from filter(None, (of.plain, of.change, of.leanest))


def _verdicts(shown: Sequence[Found]) -> list[str]:
    """Say what the verdicts mean that are there; what is over the card needs no words."""
    verdicts = {found.verdict for found in shown} - {"does not fit"}
    if not verdicts:
        return []
    errors = sorted({found.error for found in shown if found.verdict in verdicts})
    listed = " or ".join(f"{100 * e.under:g} %" for e in errors)
    meanings = {
        "fits": "fits: 3 % of the card or more is left, and more than the known error",
        "tight": "tight: less than 3 % of the card is left",
        "uncertain": "uncertain: the known error could turn it",
    }
    told = [meanings[each] for each in meanings if each in verdicts]
    error = f"19 of 20 measured runs reserved at most {listed} more than forecast"
    return [f"{'; '.join(told)} (known error: {error})."]


def _times(answer: Answer, shown: Sequence[Found]) -> list[str]:
    """Say how far times may be off, and which are lower bounds."""
    bars = [found.step.bar for found in shown if found.step]
    if not bars:
        return []
    bounded = {
        found.candidate.kind.title: at_least_text(found.at_least)
        for found in shown if found.step and found.at_least
    }  # fmt: skip
    first = "step: over the fastest row's. " if answer.rows else ""
    return [first + rule_of(bars), *(f">=: {name}: {text}." for name, text in bounded.items())]


def _packages(shown: Sequence[Found]) -> list[str]:
    """Say what has to be installed to train some of it, and how to search without."""
    trains = [found.cell.train for found in shown]
    notes = []
    if any(train.attention == FLASH for train in trains):
        notes.append(f"flash-attn needs the package {FLASH_PACKAGE}; to search without it, append "
                     "train.attention=sdpa to the command.")  # fmt: skip
    packed = any(train.dtypes.quantised for train in trains)
    states = any(OPTIMIZERS[train.optimizer].package for train in trains)
    asking = {"nf4": packed, "8-bit AdamW": states}
    names = [name for name, asked in asking.items() if asked]
    if names:
        verb = "need" if len(names) > 1 else "needs"
        notes.append(f"{' and '.join(names)} {verb} the package {BITSANDBYTES}.")
    return notes


def first_words(found: Found) -> str:
    """Return one line about a candidate that was just forecast."""
    how = ", ".join(found.candidate.words) or "plain"
    return f"{found.candidate.kind.title} ({how}): {in_words(found)}"


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
