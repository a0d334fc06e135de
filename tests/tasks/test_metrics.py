"""Scores: against hand-counted values, and silent zeros where nothing can be computed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from harness.tasks import get_task
from harness.tasks.metrics import classes, score


def logits(predicted: list[int], num_labels: int = 2) -> np.ndarray:
    return np.eye(num_labels, dtype=np.float32)[predicted]


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_classification_scores_by_hand():
    # tp 2, fn 1, fp 1, tn 3
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    found = score(("accuracy", "f1", "matthews"), logits([1, 1, 0, 1, 0, 0, 0]), labels)
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["f1"] == pytest.approx(4 / 6)
    assert found["matthews"] == pytest.approx((2 * 3 - 1) / math.sqrt(3 * 3 * 4 * 4))


def test_correlations_by_hand():
    labels = np.array([0.0, 1.0, 2.0, 5.0])
    found = score(("pearson", "spearman"), np.array([[0.0], [1.0], [4.0], [9.0]]), labels)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(26 / math.sqrt(49 * 14))


def test_three_classes():
    found = get_task("mnli").score(logits([0, 1, 2, 2], 3), np.array([0, 1, 2, 0]))
    assert found == {"accuracy": 0.75}


def test_constant_predictions_have_no_correlation():
    labels = np.array([0, 1, 1, 0])
    assert get_task("cola").score(logits([1, 1, 1, 1]), labels) == {
        "matthews": 0.0,
        "accuracy": 0.5,
    }
    assert score(("f1",), logits([0, 0, 0, 0]), labels) == {"f1": 0.0}
    assert get_task("stsb").score(np.full((4, 1), 2.5), labels) == {"pearson": 0.0, "spearman": 0.0}
    nearly = np.array([1.0, 1.0, 1.0, 1.0 + 1e-15])
    assert abs(score(("pearson",), nearly, labels)["pearson"]) <= 1.0
    assert score(("pearson",), np.array([3.0]), labels[:1]) == {"pearson": 0.0}


def test_nan_predictions_are_wrong_not_class_zero():
    labels = np.array([0, 0, 1, 0])
    all_nan = np.full((4, 2), np.nan)
    assert get_task("cola").score(all_nan, labels) == {"matthews": 0.0, "accuracy": 0.0}
    assert classes(np.array([[np.nan, 1.0], [0.0, 1.0]])).tolist() == [-1, 1]
    found = get_task("stsb").score(np.array([1.0, np.nan, 2.0, np.inf]), labels)
    assert found == {"pearson": 0.0, "spearman": 0.0}


def test_rows_must_match():
    with pytest.raises(ValueError, match="2 predictions for 3 labels"):
        score(("accuracy",), logits([0, 1]), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="0 predictions for 0 labels"):
        score(("accuracy",), np.zeros((0, 2)), np.array([]))
