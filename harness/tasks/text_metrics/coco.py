"""ROUGE-L and CIDEr as in COCO's caption evaluation (coco-caption), which e2e-metrics runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.tasks.text_metrics import ptb

BETA = 1.2  # weight of recall against precision
ORDERS = (1, 2, 3, 4)
SIGMA = 6.0  # of CIDEr's penalty for another length, in bigrams
Gram = tuple[str, ...]


def score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return ROUGE-L as a fraction, and CIDEr."""
    scorers = {"rouge_l": rouge_l, "cider": cider}
    said = [ptb.words(text) for text in predictions]
    right = [[ptb.words(text) for text in texts] for texts in references]
    return {name: scorers[name](said, right) for name in names}


def rouge_l(said: Sequence[Sequence[str]], right: Sequence[Sequence[Sequence[str]]]) -> float:
    """Return the mean F-score of longest common subsequences (Lin 2004).

    Precision and recall are the best over the references, each for itself: COCO's way.

    Args:
        said: words of each prediction.
        right: words of each of its references.
    """
    return sum(map(_rouge_l, said, right)) / len(said)


def _rouge_l(said: Sequence[str], right: Sequence[Sequence[str]]) -> float:
    common = [_longest_common(said, text) for text in right]
    if not any(common):
        return 0.0
    precision = max(common) / len(said)
    recall = max(length / len(text) for length, text in zip(common, right, strict=True) if text)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for index, twin in enumerate(other, start=1):
            above = lengths[index]
            lengths[index] = diagonal + 1 if word == twin else max(above, lengths[index - 1])
            diagonal = above
    return lengths[-1]


def cider(said: Sequence[Sequence[str]], right: Sequence[Sequence[Sequence[str]]]) -> float:
    """Return CIDEr-D times 10 (Vedantam et al. 2015): the mean cosine of weighted n-grams.

    The weight of an n-gram is its count times the logarithm of how many inputs there are per input
    with it in a reference: document frequencies are those of the references given here.

    Args:
        said: words of each prediction.
        right: words of each of its references.
    """
    inputs: Counter[Gram] = Counter()
    for texts in right:
        inputs.update({gram for text in texts for gram in _grams(text)})
    everywhere = math.log(len(right))

    def weighted(text: Sequence[str]) -> dict[Gram, float]:
        counts = _grams(text)
        return {gram: count * (everywhere - math.log(max(1, inputs[gram])))
                for gram, count in counts.items()}  # fmt: skip

    total = 0.0
    for text, texts in zip(said, right, strict=True):
        ours = weighted(text)
        for other in texts:
            # Their length is the number of bigrams.
            shift = max(0, len(text) - 1) - max(0, len(other) - 1)
            likeness = _cosines(ours, weighted(other)) * math.exp(-(shift**2) / (2 * SIGMA**2))
            total += likeness / len(texts)
    return 10 * total / len(said)


def _cosines(ours: dict[Gram, float], theirs: dict[Gram, float]) -> float:
    """Return the mean over the orders of two texts' cosines; ours is clipped to theirs."""
    mean = 0.0
    for order in ORDERS:
        grams = [gram for gram in ours if len(gram) == order]
        dot = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in grams if gram in theirs)
        if dot:
            mean += dot / (_norm(ours, order) * _norm(theirs, order)) / len(ORDERS)
    return mean


def _norm(weights: dict[Gram, float], order: int) -> float:
    return math.sqrt(sum(weight**2 for gram, weight in weights.items() if len(gram) == order))


def _grams(text: Sequence[str]) -> Counter[Gram]:
    """Return all n-grams of a text."""
    counts: Counter[Gram] = Counter()
    for order in ORDERS:
        counts.update(zip(*(text[start:] for start in range(order)), strict=False))
    return counts
