"""How a model's answers are generated."""

from __future__ import annotations

from pydantic import ConfigDict, NonNegativeInt, PositiveInt

from harness.part import Part
from methods.numbers import ExactNumbers


class Generation(Part, ExactNumbers):
    """What an answer is sought with, in the terms of transformers' generate: greedily or by beams.

    Attributes:
        num_beams: 1: greedy.
        length_penalty: exponent of the length that a beam's log-likelihood is divided by.
        no_repeat_ngram_size: no n-gram of this size occurs twice in an answer; 0: any may.
        max_new_tokens: of an answer, its end-of-text token included.
    """

    model_config = ConfigDict(frozen=True)

    num_beams: PositiveInt = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: NonNegativeInt = 0
    max_new_tokens: PositiveInt = 64
