"""BLEU and NIST as mteval-v13a.pl computes them, which e2e-metrics runs.

Words are those of its default tokenization (not the international one), ASCII letters in lower
case. BLEU: Papineni et al. 2002, 4-grams, the closest reference's length (the shorter of two), a
precision of none of n counted as 1 / 2^k of n at the k-th time: sacrebleu's `exp`. NIST: Doddington
2002, 5-grams.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

NIST_ORDER = 5
# NIST's penalty is a half where a text has two thirds of the references' length.
_BETA = -math.log(0.5) / math.log(1.5) ** 2
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
_SPACED = (
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),  # every mark but ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
Gram = tuple[str, ...]


def score(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Return BLEU as a fraction, and NIST."""
    scorers = {"bleu": bleu, "nist": nist}
    return {name: scorers[name](predictions, references) for name in names}


def words(text: str) -> list[str]:
    """Return a text's words, lower-cased."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, mark in _ENTITIES.items():
        text = text.replace(entity, mark)
    text = f" {text.translate(_LOWER)} "
    for pattern, spaced in _SPACED:
        text = pattern.sub(spaced, text)
    return text.split()


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return BLEU of the corpus, as a fraction."""
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    streams = [
        [texts[number].translate(_LOWER) if number < len(texts) else None for texts in references]
        for number in range(most)
    ]
    scorer = BLEU(tokenize="13a", smooth_method="exp", force=True)
    texts = [text.translate(_LOWER) for text in predictions]
    return float(scorer.corpus_score(texts, streams).score) / 100


def nist(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return NIST of the corpus.

    The sum over n of the information of n-grams that are in a reference, per n-gram predicted,
    times a penalty for a total length below that of the references. As in that script, which has
    empty references where an input has fewer than others, the references' mean length is their
    total over the largest number of them; with as many for every input that is the mean.
    """
    said = [words(text) for text in predictions]
    right = [[words(text) for text in texts] for texts in references]
    information = _information([text for texts in right for text in texts])
    total = 0.0
    for order in range(1, NIST_ORDER + 1):
        gained = sum(
            information[gram] * min(count, most[gram])
            for text, texts in zip(said, right, strict=True)
            for most in [_most(texts, order)]
            for gram, count in _grams(text, order).items()
        )
        predicted = sum(max(0, len(text) - order + 1) for text in said)
        total += gained / max(1, predicted)
    mean = sum(len(text) for texts in right for text in texts) / max(map(len, references))
    ratio = sum(map(len, said)) / mean if mean else 0.0
    if ratio <= 0:
        return 0.0
    return total * math.exp(-_BETA * math.log(min(1.0, ratio)) ** 2)


def _information(texts: Iterable[Sequence[str]]) -> Mapping[Gram, float]:
    """Return bits that an n-gram's last word adds to those before it, over all references."""
    counts: Counter[Gram] = Counter()
    for text in texts:
        counts[()] += len(text)
        for order in range(1, NIST_ORDER + 1):
            counts.update(_grams(text, order))
    bits = {gram: math.log2(counts[gram[:-1]] / count) for gram, count in counts.items() if gram}
    return Counter(bits)  # an unseen one has 0


def _grams(text: Sequence[str], order: int) -> Counter[Gram]:
    return Counter(zip(*(text[start:] for start in range(order)), strict=False))


def _most(texts: Sequence[Sequence[str]], order: int) -> Counter[Gram]:
    """Return each n-gram with the count of the text that has it most often."""
    most: Counter[Gram] = Counter()
    for text in texts:
        most |= _grams(text, order)
    return most
