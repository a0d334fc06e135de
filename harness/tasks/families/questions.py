"""The rows of extractive question answering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A span of a text: its characters, and the index of the first one (code points from 0)."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question about a text.

    A model learns the first answer; each of them is right. Without one, the text has no answer, and
    the model learns to point at its first special token.
    """

    question: str
    context: str
    answers: tuple[Answer, ...]

    def facts(self) -> list[Any]:
        """Return what a model could learn or be scored from."""
        answers = [[answer.text, answer.start] for answer in self.answers]
        return [self.question, self.context, answers]
