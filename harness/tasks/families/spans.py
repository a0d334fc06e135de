"""From the logits of windows to answers: the n best spans, as transformers' run_qa.py has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.tasks.families.windows import Place

Array = NDArray[Any]
N_BEST = 20  # starts, and ends, that are paired in each window
MOST_TOKENS = 30  # of an answer


class _Span(NamedTuple):
    """A part of a text with its score: the sum of two logits."""

    score: float
    start: int
    end: int


def best_answers(logits: Sequence[Array], data: Any) -> list[str]:
    """Return the answer with the highest score to each question, over all of its windows.

    Args:
        logits: (2, S) of start and end, for each window; what is padding comes last.
        data: the `Windows`, with their places.

    Returns:
        A text for each question; "" where no window has a span that may be an answer.
    """
    best = [_Span(-np.inf, 0, 0)] * len(data.rows)
    for place, length, pair in zip(data.places, data.lengths, logits, strict=True):
        span = _best(pair[:, :length], place)
        if span.score > best[place.row].score:
            best[place.row] = span
    pairs = zip(data.rows, best, strict=True)
    return [row.context[span.start : span.end] for row, span in pairs]


def _best(logits: Array, place: Place) -> _Span:
    """Return the best span of one window (logits (2, tokens)); one without score if none is.

    Starts and ends are sought among all tokens; those outside of the text, ends before their start
    and answers that are too long fall away. A window with a NaN has no span.
    """
    if np.isnan(logits).any():
        return _Span(-np.inf, 0, 0)
    starts, ends = (np.argsort(-row, kind="stable")[:N_BEST] for row in logits)
    scores = logits[0][starts][:, None] + logits[1][ends][None, :]
    lengths = ends[None, :] - starts[:, None] + 1
    first, last = place.first, place.first + len(place.spans) - 1
    inside = (starts[:, None] >= first) & (ends[None, :] <= last)
    scores = np.where(inside & (lengths >= 1) & (lengths <= MOST_TOKENS), scores, -np.inf)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    if scores[row, column] == -np.inf:
        return _Span(-np.inf, 0, 0)
    start, end = place.spans[starts[row] - first], place.spans[ends[column] - first]
    return _Span(float(scores[row, column]), start[0], end[1])
