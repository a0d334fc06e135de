"""The answer: what was found for each kind, in the order of its speed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import yaml

from harness.fitting.candidates import document_of
from harness.fitting.facts import facts_of, refuse_headless
from harness.fitting.found import Found, pace
from harness.fitting.limits import Limit, limits_of
from harness.fitting.plans import OfKind
from harness.fitting.search import search
from harness.fitting.wanted import Wanted
from harness.forecasting.forecaster import Forecaster


@dataclass(frozen=True)
class Row:
    """Something that holds, with its limits.

    Attributes:
        found: it, with its full forecast.
        batch: the largest of a forward pass.
        length: the longest example in a pass of one.
        leanest: it needs the least of its kind.
    """

    found: Found
    batch: Limit
    length: Limit
    leanest: bool


@dataclass(frozen=True)
class Answer:
    """All that was found.

    Attributes:
        wanted: the question.
        rows: what holds, the fastest first.
        over: kinds that do not fit with the plain settings.
        errors: kinds without a forecast, by name.
        host: bytes of the host's memory that loading the base takes.
        positions: tokens that the model was made for.
    """

    wanted: Wanted
    rows: Sequence[Row]
    over: Sequence[OfKind]
    errors: dict[str, str] = field(default_factory=dict)
    host: dict[str, int] = field(default_factory=dict)
    positions: int | None = None


def answer(
    forecaster: Forecaster, wanted: Wanted, tell: Callable[[Found], None] = lambda found: None
) -> Answer:
    """Search, and look for the limits of what holds.

    Raises:
        UserError: nothing can be forecast of the question.
    """
    facts = facts_of(wanted.model.spec, forecaster.cache.folder)
    refuse_headless(wanted, facts)
    kinds = search(forecaster, wanted, tell)
    found = sorted(((row, row is kind.leanest) for kind in kinds for row in kind.rows),
                   key=lambda pair: pace(pair[0]))  # fmt: skip
    limits = limits_of(forecaster, [row for row, _ in found], wanted.card, facts.positions)
    return Answer(
        wanted=wanted,
        rows=[Row(row, *both, lean) for (row, lean), both in zip(found, limits, strict=True)],
        over=[kind for kind in kinds if kind.short],
        errors={kind.kind.title: kind.error for kind in kinds if kind.error},
        host=host_bytes(kinds),
        positions=facts.positions,
    )


def host_bytes(kinds: Sequence[OfKind]) -> dict[str, int]:
    """Return what the base is on the host before it goes to the card, by the type it is loaded in.

    A run reads all weights into the host's memory, a base of 4 bits in 16: it is packed on the
    card, layer by layer.
    """
    sizes = {"fp32": 4, "bf16": 2, "fp16": 2}
    found: dict[str, int] = {}
    for kind in kinds:
        for each in filter(None, [kind.plain, kind.leanest]):
            total = each.worst.total_parameters or 0
            base = total - (0 if kind.kind.method == "full" else each.worst.adapter_trainable or 0)
            type_ = each.cell.train.dtypes.base
            found.setdefault(type_, sizes[type_] * base)
    return found


def suite_of_row(row: Row, wanted: Wanted) -> str:
    """Return the suite that would run a row, as a file with what it holds in front."""
    data = document_of(wanted, [row.found.candidate], to_run=True)
    train = row.found.cell.train.model_dump(mode="json")
    searched = dict(row.found.candidate.settings)
    data["methods"][0]["train"] |= {n: train[n] for n in wanted.said if n not in searched}
    plain = json.loads(json.dumps(data))  # no tuples
    head = [f"What headroom fit found for {wanted.model.name} on {wanted.card.name}: "
            f"{row.found.verdict}.", *_without_data(wanted)]  # fmt: skip
    body = yaml.safe_dump(plain, sort_keys=False, width=98, allow_unicode=True)
    return "\n".join([*(f"# {line}" for line in head), body])


def _without_data(wanted: Wanted) -> list[str]:
    if "shape" not in wanted.task_entry():
        return []
    return [
        "To train, put data in the place of the shape, such as",
        f"  - {{name: mine, kind: {wanted.family}, path: train.csv, eval: 0.1, padding: max, "
        f"max_length: {wanted.length}}}",
    ]
