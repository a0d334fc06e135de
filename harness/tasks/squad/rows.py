"""SQuAD's questions, from its JSON form (articles, paragraphs, questions) or from flat rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from harness.errors import UserError
from harness.tasks.families.questions import Answer, Question


class Part(NamedTuple):
    """Questions of one part, and how many were left out: their answers are not where they say."""

    rows: list[Question]
    misplaced: int = 0


def from_articles(document: Any, where: str) -> Part:
    """Return the questions of a file in SQuAD v1.1's form.

    Raises:
        UserError: it is not of that form; the message starts with `where`.
    """
    return _part(_flattened(document, where), where)


def from_flat(rows: Iterable[Mapping[str, Any]], where: str) -> Part:
    """Return the questions of rows with `context`, `question` and `answers`.

    `answers` holds lists `text` and `answer_start`, as in rajpurkar/squad.

    Raises:
        UserError: a row is not of that form; the message starts with `where`.
    """
    return _part(rows, where)


def _part(rows: Iterable[Mapping[str, Any]], where: str) -> Part:
    questions, misplaced = [], 0
    for number, row in enumerate(rows, start=1):
        question = _question(row, f"{where}, question {number}")
        if all(_in_place(answer, question.context) for answer in question.answers):
            questions.append(question)
        else:
            misplaced += 1
    if not questions:
        reason = "all of their answers are misplaced" if misplaced else "there are none"
        raise UserError(f"{where}: no questions: {reason}")
    return Part(questions, misplaced)


def _question(row: Mapping[str, Any], where: str) -> Question:
    try:
        texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
        pairs = zip(texts, starts, strict=True)
        answers = tuple(dict.fromkeys(Answer(str(text), int(start)) for text, start in pairs))
        question = Question(_text(row["question"]), _text(row["context"]), answers)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: {type(error).__name__}: {error}; wanted: context, question and answers "
            "with text and answer_start"
        ) from None
    if not answers:
        raise UserError(
            f"{where} ({question.question!r}) has no answer, as in SQuAD v2; this task is v1.1"
        )
    return question


def _flattened(document: Any, where: str) -> Iterator[dict[str, Any]]:
    """Yield flat rows of a document in SQuAD's form."""
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    yield {
                        "context": paragraph["context"],
                        "question": asked["question"],
                        "answers": {
                            key: [answer[key] for answer in asked["answers"]]
                            for key in ("text", "answer_start")
                        },
                    }
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{where}: not in the form of SQuAD v1.1 ({type(error).__name__}: {error}); wanted: "
            "data, paragraphs, qas, answers, text and answer_start"
        ) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _in_place(answer: Answer, context: str) -> bool:
    return bool(answer.text) and context.startswith(answer.text, answer.start)
