"""Own texts with questions that a span of them answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.tasks.families.questions import Answer, Question
from harness.tasks.own.cells import Cells
from harness.tasks.own.functions import call, is_function
from harness.tasks.own.kind import Kind


class OwnQuestionAnswering(Kind):
    """Rows are `Question`s: `text` is searched for the answer to `pair`.

    The column of answers holds `{text: [...], answer_start: [...]}` as in rajpurkar/squad, or the
    answer itself: its first occurrence in the text is then learned.
    """

    family: ClassVar[str] = "question_answering"
    roles: ClassVar[Mapping[str, str | None]] = {
        "text": "context", "pair": "question", "label": "answers",
    }  # fmt: skip
    known_metrics: ClassVar[tuple[str, ...]] = ("f1", "exact_match")
    usual_metrics: ClassVar[tuple[str, ...]] = known_metrics

    def row(self, cells: Cells, classes: Mapping[str, int]) -> Question:
        """Find the answers in their text."""
        context, said = cells.text("text"), cells.value("label")
        if isinstance(said, Mapping):
            try:
                pairs = list(zip(said["text"], said["answer_start"], strict=True))
            except (KeyError, TypeError, ValueError):
                raise cells.wrong("label", "no lists text and answer_start of one length") from None
        else:
            answer = cells.label()
            pairs = [(answer, context.find(answer))]
        for text, start in pairs:
            if not _stands(context, text, start):
                raise cells.wrong("label", f"{text!r} does not stand in the text (at {start})")
        if not pairs:
            raise cells.wrong("label", "no answer")
        answers = tuple(Answer(text, start) for text, start in dict.fromkeys(pairs))
        return Question(cells.text("pair"), context, answers)

    def known_scores(
        self, metrics: Sequence[str], predictions: Any, references: Any
    ) -> dict[str, float]:
        """Score answers against the right ones of each question."""
        from harness.tasks.answer_scores import score_answers

        return score_answers(metrics, predictions, references)

    def check_metrics(self, metrics: Sequence[str], rows: Sequence[Any], num_labels: int) -> None:
        """Try functions on answers that are all right."""
        right = [tuple(answer.text for answer in row.answers) for row in rows]
        for name in filter(is_function, metrics):
            call(name, right, [texts[0] for texts in right])


def _stands(context: str, text: Any, start: Any) -> bool:
    known = isinstance(text, str) and isinstance(start, int) and start >= 0
    return known and bool(text) and context.startswith(text, start)
