"""Questions and their texts as windows of tokens, for texts longer than a model's input."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.errors import UserError
from harness.tasks.families.questions import Answer, Question
from harness.tasks.families.text import Tokens

# Tokens that a window shares with the one before it: doc_stride of transformers' run_qa.py.
DOC_STRIDE = 128
# Tokens of a question that are kept: max_query_length of BERT's run_squad.py.
QUESTION_TOKENS = 64
ROWS_AT_ONCE = 1000  # so that few whole texts are in memory as tokens


class Place(NamedTuple):
    """Where a window lies.

    Attributes:
        row: number of its question.
        first: index of the window's first token of the text.
        spans: of its tokens of the text, first character and the one after the last:
            (tokens, 2), as a list, or an array where it is kept.
    """

    row: int
    first: int
    spans: Any


@dataclass(frozen=True)
class Windows(Tokens):
    """Tokenised windows with the positions (examples, 2) of answers' first and last tokens.

    Attributes:
        rows: the questions; empty for training, which does without them.
        places: of each window; empty as well.
    """

    rows: Sequence[Question] = ()
    places: Sequence[Place] = ()

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Pad the windows on the right: tensors (B, S), and two of positions (B,)."""
        batch = super().batch(indices, width)
        starts, ends = batch.pop("labels").unbind(1)
        return {**batch, "start_positions": starts.clone(), "end_positions": ends.clone()}


def encode(
    tokenizer: Any, rows: Sequence[Question], max_length: int, *, places: bool = False
) -> Windows:
    """Tokenise question and text into windows of at most `max_length` tokens, as run_qa.py does.

    Every window has the question, and shares DOC_STRIDE tokens of the text with the one before it,
    or half of its tokens of the text where they are fewer than twice as many. A window without the
    whole first answer is labelled with its first special token ([CLS], <s>). A question loses the
    white space in front of it, and its tokens from number QUESTION_TOKENS on.

    Args:
        tokenizer: a fast one, which knows the characters of each token.
        rows: of one part of the data.
        max_length: tokens of a window.
        places: keep what finds answers in the texts again.

    Raises:
        UserError: no room for the text beside a question, a text without tokens, or a tokenizer
            that does not know where tokens come from.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "this tokenizer does not say which characters its tokens are, so answers cannot be "
            "found: the model needs a tokenizer.json"
        )
    features: dict[str, list[list[int]]] = {}
    labels: list[tuple[int, int]] = []
    kept: list[Place] = []
    for place, window in _windows(tokenizer, rows, max_length):
        for name, values in window.items():
            features.setdefault(name, []).append(values)
        answers = rows[place.row].answers
        where = _tokens_of(answers[0], place) if answers else None
        nowhere = _special(tokenizer, window["input_ids"])
        labels.append(where or (nowhere, nowhere))
        if places:
            kept.append(place._replace(spans=np.array(place.spans, dtype=np.int32)))
    pad = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": 0, "attention_mask": 0}
    return Windows(
        {name: features.get(name, []) for name in features},
        torch.tensor(labels, dtype=torch.int64).reshape(-1, 2),
        {name: pad[name] for name in features},
        rows if places else (),
        kept,
    )


def _windows(
    tokenizer: Any, rows: Sequence[Question], max_length: int
) -> Iterator[tuple[Place, dict[str, list[int]]]]:
    """Yield the place and the features of every window, in the order of the rows."""
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[begin : begin + ROWS_AT_ONCE]
        whole = tokenizer(
            [row.question.lstrip() for row in part],
            [row.context for row in part],
            return_offsets_mapping=True,
            return_attention_mask=True,
            verbose=False,  # of lengths that the model does not take: they are cut below
        )
        names = [name for name in tokenizer.model_input_names if name in whole]
        for number, row in enumerate(part):
            spans = whole["offset_mapping"][number]
            for first, chosen in _cuts(whole.sequence_ids(number), max_length, row):
                text = [spans[index] for index in chosen.text]
                yield (
                    Place(begin + number, first, text),
                    {name: [whole[name][number][i] for i in chosen.all] for name in names},
                )


class _Chosen(NamedTuple):
    """Indices of a window's tokens among those of question and whole text."""

    all: list[int]
    text: Sequence[int]


def _cuts(
    parts: Sequence[int | None], max_length: int, row: Question
) -> Iterator[tuple[int, _Chosen]]:
    """Yield, per window, the place of its first token of the text and the tokens chosen.

    Args:
        parts: of each token: 0 the question's, 1 the text's, None a special one.
        max_length: tokens of a window.
        row: the question, for the error.
    """
    text = [index for index, part in enumerate(parts) if part == 1]
    if not text:
        raise UserError(f"question {row.question!r} has a text without tokens: {row.context!r}")
    question = [index for index, part in enumerate(parts) if part == 0]
    dropped = set(question[QUESTION_TOKENS:])
    before = [index for index in range(text[0]) if index not in dropped]
    after = list(range(text[-1] + 1, len(parts)))
    room = max_length - len(before) - len(after)
    if room < 1:
        raise UserError(
            f"max_length {max_length} leaves no room for a text beside the question "
            f"{row.question!r}, which takes {max_length - room} tokens with the special ones; "
            f"set train.max_length (384 is usual)"
        )
    step = room - min(DOC_STRIDE, room // 2)
    for begin in range(0, len(text), step):
        chosen = text[begin : begin + room]
        yield len(before), _Chosen([*before, *chosen, *after], chosen)
        if begin + room >= len(text):
            return


def _tokens_of(answer: Answer, place: Place) -> tuple[int, int] | None:
    """Return the window's tokens that an answer starts and ends in; None where it is cut off."""
    end = answer.start + len(answer.text)
    if not place.spans[0][0] <= answer.start or not end <= place.spans[-1][1]:
        return None
    first = bisect_right(place.spans, answer.start, key=lambda span: span[0]) - 1
    last = bisect_left(place.spans, end, key=lambda span: span[1])
    return place.first + first, place.first + max(first, last)


def _special(tokenizer: Any, ids: Sequence[int]) -> int:
    """Return the place of the first special token; 0 where the tokenizer adds none."""
    for token in (tokenizer.cls_token_id, tokenizer.bos_token_id):
        if token in ids:
            return ids.index(token)
    return 0
