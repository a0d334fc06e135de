"""ROUGE-1, -2, -L and -Lsum: F-measures of Google's rouge-score with Porter's stemmer."""

from __future__ import annotations

from collections.abc import Sequence


def score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return means over the predictions, each against its best reference.

    rougeLsum takes every line of a text for a sentence (Lin 2004, section 3.2).
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(names), use_stemmer=True)
    pairs = zip(predictions, references, strict=True)
    found = [scorer.score_multi(list(texts), said) for said, texts in pairs]
    return {name: sum(one[name].fmeasure for one in found) / len(found) for name in names}
