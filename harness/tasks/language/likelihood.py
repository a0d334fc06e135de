"""Scores of likelihoods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 700.0  # of an exponent that a float holds: what is not finite scores this


def perplexity(sums: NDArray[Any]) -> float:
    """Return exp of the mean -log p over all tokens.

    Args:
        sums: (n, 2), of each example the sum of -log p and the number of tokens that it is over.

    Raises:
        ValueError: there are no tokens.
    """
    total, count = np.asarray(sums, dtype=np.float64).sum(axis=0)
    if not count:
        raise ValueError("no tokens to take a perplexity of")
    mean = total / count
    return math.exp(min(mean, LARGEST) if math.isfinite(mean) else LARGEST)
