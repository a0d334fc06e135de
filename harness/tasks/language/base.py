"""What tasks of language models share: scores, and rows with the notes on where they are from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from harness.errors import UserError
from harness.tasks.base import DataRequest, Row, Task, TaskData, fingerprint, limit_notes, limited
from harness.tasks.language.sources import Found

R = TypeVar("R", bound=Row)
HELD_OUT_SEED = 42  # of LLM-Adapters and LoRAPrune, whose splits these are


class LanguageTask(Task):
    """A task whose predictions are texts, where `generation` says how, or else likelihoods."""

    num_labels = 1  # a language model's head is its own
    family = "causal_lm"
    main_metric: str

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self) -> None:
        """See that the metrics of generated text are installed."""
        from harness.tasks.text_metrics import METRICS, require

        require([name for name in self.metrics if name in METRICS])

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        """Every metric of the task.

        Args:
            predictions: texts; or (n, 2), sums of -log p and tokens.
            references: for each text those that it is held against.
        """
        if self.generation is None:
            from harness.tasks.language.likelihood import perplexity

            return {"perplexity": perplexity(predictions)}
        from harness.tasks.text_metrics import score_text

        return score_text(self.metrics, predictions, references)

    def data(
        self,
        request: DataRequest,
        train: Sequence[Row],
        evaluations: Mapping[str, Sequence[Row]],
        *,
        source: str,
        notes: Sequence[str] = (),
        averaged: tuple[str, ...] = (),
    ) -> TaskData:
        """Return the rows, cut to the asked number, selected on validation, reported on `test`."""
        kept = limited(train, request.train_rows)
        parts = {name: limited(rows, request.evaluation_rows) for name, rows in evaluations.items()}
        return TaskData(
            train=kept,
            evaluations=parts,
            select_on="validation",
            select_metric=self.main_metric,
            report_on=("test",),
            main_metric=self.main_metric,
            averaged=averaged,
            source=source,
            fingerprint=fingerprint(kept, parts),
            notes=(*notes, *limit_notes(request, kept)),
        )


def held_out(rows: Sequence[R], count: int) -> tuple[list[R], list[R]]:
    """Return the other rows and `count` that a fixed seed chooses, both in their order."""
    chosen = set(random.Random(HELD_OUT_SEED).sample(range(len(rows)), count))
    return (
        [row for index, row in enumerate(rows) if index not in chosen],
        [row for index, row in enumerate(rows) if index in chosen],
    )


def tenth(rows: Sequence[Any], most: int) -> int:
    """Return how many rows to hold out: `most`, or a tenth where that is less; at least one."""
    return max(1, min(most, len(rows) // 10))


def refuse_columns(task: Task, request: DataRequest, *names: str) -> None:
    """Refuse columns that a task has no use for.

    Raises:
        UserError: the request names one.
    """
    for name in names:
        value = getattr(request, name)
        if value is not None:
            raise UserError(f"task {task.name} takes no {name} (given: {value})")


def text_of(row: Mapping[str, Any], names: Sequence[str | None], where: str) -> str:
    """Return the text of the first column that the row has.

    Raises:
        UserError: it has none of them, or no text there.
    """
    wanted = [name for name in names if name]
    for name in wanted:
        if name in row:
            value = row[name]
            if isinstance(value, str) and value.strip():
                return value.strip()
            raise UserError(f"{where}: column {name!r} has no text ({value!r})")
    raise UserError(
        f"{where}: no column {' or '.join(map(repr, wanted))}; there are {', '.join(row)}"
    )


def required(found: Found | None, task: str, part: str, looked: str) -> Found:
    """Return what was found.

    Raises:
        UserError: nothing was.
    """
    if found is None:
        raise UserError(f"task {task}: no file for {part} ({looked})")
    return found
