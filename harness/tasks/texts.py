"""Rows of language models: running text, and prompts with their responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """A piece of running text: a line of a file, a paragraph.

    The texts of one part of the data are joined, in their order, and cut into blocks.
    """

    text: str

    def facts(self) -> list[Any]:
        """Return what a model could learn or be scored from."""
        return [self.text]


@dataclass(frozen=True)
class Prompted:
    """A prompt and the response to it; of an encoder-decoder, its source and its target.

    Attributes:
        prompt: with whatever separates it from the response.
        response: to learn.
        references: the texts that a generated response is scored against.
        learn_prompt: the loss is taken of the prompt's tokens, too, unless the settings say.
    """

    prompt: str
    response: str
    references: tuple[str, ...] = ()
    learn_prompt: bool = False

    def facts(self) -> list[Any]:
        """Return what a model could learn or be scored from."""
        return [self.prompt, self.response, list(self.references), self.learn_prompt]

    @property
    def accepted(self) -> Sequence[str]:
        """The references, or else the response."""
        return self.references or (self.response,)
