"""An English acceptability task that needs no download: minimal pairs from a seeded grammar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import UserError
from harness.tasks import grammar_forms, grammar_order
from harness.tasks.base import DataRequest, Example, Task, TaskData, fingerprint, limited
from harness.tasks.grammar import Pair, Speaker
from harness.tasks.words import vocabulary

Phenomenon = Callable[[Speaker], Pair]

PHENOMENA: tuple[Phenomenon, ...] = (
    grammar_forms.subject_agreement,
    grammar_forms.reflexive_number,
    grammar_forms.reflexive_gender,
    grammar_forms.determiner_number,
    grammar_forms.quantity,
    grammar_forms.pronoun_case,
    grammar_forms.verb_form,
    grammar_forms.irregular_past,
    grammar_order.polarity,
    grammar_order.filler_gap,
    grammar_order.argument_structure,
    grammar_order.island,
    grammar_order.question,
    grammar_order.comparison,
    grammar_order.correlative,
    grammar_order.word_order,
)
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
        phenomenon = PHENOMENA[len(rows) // 2 % len(PHENOMENA)]
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
    regression = False
    metrics = ("matthews", "accuracy")

    def __init__(self, name: str) -> None:
        self.name = name

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
        )
