"""How well answers match: exact match and F1 of SQuAD v1.1's evaluation, as fractions.

Rajpurkar et al. 2016, section 6.1, and evaluate-v1.1.py: answers are compared in lower case,
without punctuation (ASCII), the articles a, an and the, and spare white space; where a question has
several right answers the best one counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def score_answers(
    metrics: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return the named metrics: means over all questions of their best answers' scores.

    Args:
        metrics: names of `ANSWER_METRICS`.
        predictions: an answer to each question.
        references: the right answers to each question.

    Raises:
        ValueError: there are no questions, or one without a right answer.
    """
    if not predictions or len(predictions) != len(references) or not all(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} questions")
    pairs = list(zip(predictions, references, strict=True))
    return {
        name: sum(max(ANSWER_METRICS[name](said, right) for right in answers)
                  for said, answers in pairs) / len(pairs)
        for name in metrics
    }  # fmt: skip


def normalised(answer: str) -> str:
    """Return an answer as it is compared."""
    bare = _ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION))
    return " ".join(bare.split())


def exact_match(said: str, right: str) -> float:
    """Tell whether two answers are the same, normalised."""
    return float(normalised(said) == normalised(right))


def f1(said: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of the answers' words, with repetitions."""
    words, wanted = normalised(said).split(), normalised(right).split()
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted)) if common else 0.0


ANSWER_METRICS: dict[str, Callable[[str, str], float]] = {"f1": f1, "exact_match": exact_match}
