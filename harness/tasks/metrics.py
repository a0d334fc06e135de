"""Scores as fractions. What cannot be computed (a constant, a NaN) scores 0, without a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def score(metrics: Sequence[str], predictions: Array, labels: Array) -> dict[str, float]:
    """The named metrics of predictions (n, classes), or (n,) or (n, 1) for a regression.

    Raises:
        ValueError: if there are no rows, or predictions and labels differ in number.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if len(predictions) != len(labels) or not len(labels):
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    if set(metrics) <= set(REGRESSION):
        values = predictions.reshape(len(labels)).astype(np.float64)
        return {name: REGRESSION[name](values, labels.astype(np.float64)) for name in metrics}
    predicted = classes(predictions)
    return {name: CLASSIFICATION[name](predicted, labels) for name in metrics}


def classes(logits: Array) -> Array:
    """The class of the largest logit (n,); a row with a NaN gets -1, which is never right."""
    return np.where(np.isnan(logits).any(axis=1), -1, logits.argmax(axis=1))


def accuracy(predicted: Array, labels: Array) -> float:
    """Share of rows whose class is right."""
    return float(np.mean(predicted == labels))


def f1(predicted: Array, labels: Array) -> float:
    """F1 of class 1, 0 where nothing is predicted or labelled 1."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels == 1, predicted == 1, zero_division=0.0))


def matthews(predicted: Array, labels: Array) -> float:
    """Matthews correlation, 0 where either side is constant."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predicted))


def pearson(values: Array, labels: Array) -> float:
    """Pearson correlation, 0 where a value is not finite or a side is constant."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, values, labels)


def spearman(values: Array, labels: Array) -> float:
    """Spearman rank correlation, 0 where a value is not finite or a side is constant."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, values, labels)


def _correlation(function: Callable[[Array, Array], Any], values: Array, labels: Array) -> float:
    if not np.isfinite(values).all() or np.ptp(values) == 0 or np.ptp(labels) == 0:
        return 0.0
    with warnings.catch_warnings():
        # scipy warns of nearly constant input, which an untrained head may well give.
        warnings.simplefilter("ignore")
        result = float(function(values, labels).statistic)
    return result if np.isfinite(result) else 0.0


CLASSIFICATION: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
}
REGRESSION: dict[str, Callable[[Array, Array], float]] = {"pearson": pearson, "spearman": spearman}
