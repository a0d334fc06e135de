"""Scores as fractions. What cannot be computed (a constant, a NaN) scores 0, without a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
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
    return {
        name: RANKING[name](predictions, labels)
        if name in RANKING
        else CLASSIFICATION[name](predicted, labels)
        for name in metrics
    }


def classes(logits: Array) -> Array:
    """The class of the largest logit (n,); a row with a NaN gets -1, which is never right."""
    return np.where(np.isnan(logits).any(axis=1), -1, logits.argmax(axis=1))


def accuracy(predicted: Array, labels: Array) -> float:
    """Share of rows whose class is right."""
    return float(np.mean(predicted == labels))


def f1(predicted: Array, labels: Array) -> float:
    """F1 of class 1, 0 where nothing is predicted or labelled 1."""
    return _of_class_1("f1_score", predicted, labels)


def precision(predicted: Array, labels: Array) -> float:
    """Share of what is predicted as class 1 that is, 0 where nothing is predicted so."""
    return _of_class_1("precision_score", predicted, labels)


def recall(predicted: Array, labels: Array) -> float:
    """Share of class 1 that is predicted as it, 0 where there is none."""
    return _of_class_1("recall_score", predicted, labels)


def _of_class_1(function: str, predicted: Array, labels: Array) -> float:
    from sklearn import metrics

    return float(getattr(metrics, function)(labels == 1, predicted == 1, zero_division=0.0))


def _averaged(function: str, average: str, predicted: Array, labels: Array) -> float:
    """F1, precision or recall over all classes that are labelled or predicted, as sklearn has it.

    A row without a prediction (-1) is wrong, and makes no class of its own.
    """
    from sklearn import metrics

    there = np.union1d(labels, predicted[predicted >= 0])
    found = getattr(metrics, function)(
        labels, predicted, labels=there, average=average, zero_division=0.0
    )
    return float(found)


def balanced_accuracy(predicted: Array, labels: Array) -> float:
    """Mean over the labelled classes of the share that is right."""
    return float(
        np.mean([np.mean(predicted[labels == each] == each) for each in np.unique(labels)])
    )


def cohen_kappa(predicted: Array, labels: Array) -> float:
    """Cohen's kappa, 0 where both sides are one and the same constant."""
    from sklearn.metrics import cohen_kappa_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the division by zero
        return _finite(float(cohen_kappa_score(labels, predicted)))


def roc_auc(logits: Array, labels: Array) -> float:
    """Area under the ROC curve: of class 1; of several classes, the mean of each against the rest.

    0 where a logit is not finite, or a class is not among the labels.
    """
    from sklearn.metrics import roc_auc_score

    count = logits.shape[1]
    if not np.isfinite(logits).all() or len(np.unique(labels)) < count:
        return 0.0
    if count == 2:
        return float(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))
    from scipy.special import softmax

    shares = softmax(logits.astype(np.float64), axis=1)
    return float(roc_auc_score(labels, shares, multi_class="ovr", average="macro"))


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


def mae(values: Array, labels: Array) -> float:
    """Mean absolute error, the largest float where a value is not finite."""
    return _error(np.abs(values - labels).mean())


def mse(values: Array, labels: Array) -> float:
    """Mean squared error, the largest float where a value is not finite."""
    return _error(np.square(values - labels).mean())


def rmse(values: Array, labels: Array) -> float:
    """Root of the mean squared error, the largest float where a value is not finite."""
    return _error(np.sqrt(np.square(values - labels).mean()))


def r2(values: Array, labels: Array) -> float:
    """Share of the labels' variance that is explained, 0 where it has none or is not computable."""
    from sklearn.metrics import r2_score

    if not np.isfinite(values).all() or np.ptp(labels) == 0:
        return 0.0
    return _finite(float(r2_score(labels, values)))


def _correlation(function: Callable[[Array, Array], Any], values: Array, labels: Array) -> float:
    if not np.isfinite(values).all() or np.ptp(values) == 0 or np.ptp(labels) == 0:
        return 0.0
    with warnings.catch_warnings():
        # scipy warns of nearly constant input, which an untrained head may well give.
        warnings.simplefilter("ignore")
        return _finite(float(function(values, labels).statistic))


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def _error(value: Any) -> float:
    return float(value) if np.isfinite(value) else float(np.finfo(np.float64).max)


CLASSIFICATION: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "precision": precision,
    "recall": recall,
    **{
        f"{name}_{average}": partial(_averaged, f"{name}_score", average)
        for name in ("f1", "precision", "recall")
        for average in ("macro", "micro", "weighted")
    },
    "matthews": matthews,
    "cohen_kappa": cohen_kappa,
}
# Of logits, not of the class that is largest.
RANKING: dict[str, Callable[[Array, Array], float]] = {"roc_auc": roc_auc}
REGRESSION: dict[str, Callable[[Array, Array], float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mae": mae,
    "mse": mse,
    "rmse": rmse,
    "r2": r2,
}
OF_CLASS_1 = frozenset({"f1", "precision", "recall"})
