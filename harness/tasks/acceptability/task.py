"""An English acceptability task that needs no download: minimal pairs from a seeded grammar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import UserError
from harness.tasks.acceptability import forms, order
from harness.tasks.acceptability.grammar import Pair, Speaker
from harness.tasks.acceptability.words import vocabulary
from harness.tasks.base import (
    DataRequest,
    Example,
    Task,
    TaskData,
    fingerprint,
    limit_notes,
    limited,
)

Phenomenon = Callable[[Speaker], Pair]

# Pairs of each phenomenon in a round. What a small encoder learns in a few hundred steps has the
# larger share; agreement, reflexives and determiners, which take it longest, are what is left to
# gain. With equal shares every method stays near chance at that budget.
SHARES: dict[Phenomenon, int] = {
    order.polarity: 8,
    order.island: 5,
    order.correlative: 5,
    order.filler_gap: 4,
    order.word_order: 3,
    order.comparison: 2,
    order.argument_structure: 2,
    order.question: 1,
    forms.irregular_past: 2,
    forms.pronoun_case: 2,
    forms.verb_form: 1,
    forms.determiner_number: 1,
    forms.quantity: 1,
    forms.subject_agreement: 1,
    forms.reflexive_number: 1,
    forms.reflexive_gender: 1,
}
ROUND = [phenomenon for phenomenon, share in SHARES.items() for _ in range(share)]
# Sentences per split, half of them acceptable; the seeds of the speakers that make them.
SIZES = {"train": 6000, "validation": 1000, "test": 1000}
SEEDS = {"train": 1, "validation": 2, "test": 3}


def generate(split: str) -> list[Example]:
    """Return the sentences of `train`, `validation` or `test` in random order, none twice.

    The splits share function words only: nouns, names, verbs and adjectives of one do not occur in
    another, so what is learned is the construction. Both sentences of a pair are in one split.
    """
    speaker = Speaker(vocabulary(split), SEEDS[split])
    seen: set[str] = set()
    rows: list[Example] = []
    while len(rows) < SIZES[split]:
        phenomenon = ROUND[len(rows) // 2 % len(ROUND)]
        pair = phenomenon(speaker)
        if seen.isdisjoint(pair):
            seen.update(pair)
            name = phenomenon.__name__.replace("_", "-")
            rows += [
                Example(text[0].upper() + text[1:], None, label, name)
                for text, label in ((pair.good, 1), (pair.bad, 0))
            ]
    return speaker.shuffle(rows)


class AcceptabilityTask(Task):
    """Is a sentence acceptable English: Matthews correlation on unseen words."""

    description = "embedded: is a sentence acceptable English (minimal pairs, unseen words)"
    num_labels = 2
    label_names = ("unacceptable", "acceptable")
    family = "classification"
    metrics = ("matthews", "accuracy")

    def __init__(self, name: str) -> None:
        self.name = name

    def is_local(self, request: DataRequest) -> bool:
        """They come with this package."""
        return True

    def load(self, request: DataRequest) -> TaskData:
        """Generate the rows; every protocol selects on validation and reports test.

        Raises:
            UserError: the request names files or columns, of which this task has none.
        """
        given: dict[str, Any] = {
            "folder": request.folder,
            "text_column": request.text_column,
            "pair_column": request.pair_column,
            "label_column": request.label_column,
            "revision": request.revision,
        }
        for key, value in given.items():
            if value is not None:
                raise UserError(f"task {self.name} is embedded: it takes no {key} (given: {value})")
        train = limited(generate("train"), request.train_rows)
        evaluations = {
            split: limited(generate(split), request.evaluation_rows)
            for split in ("validation", "test")
        }
        return TaskData(
            train=train,
            evaluations=evaluations,
            select_on="validation",
            select_metric="matthews",
            report_on=("test",),
            main_metric="matthews",
            averaged=("matthews",),
            source="embedded",
            fingerprint=fingerprint(train, evaluations),
            notes=limit_notes(request, train),
        )
