"""Scores: against hand-counted values, and silent zeros where nothing can be computed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from harness.tasks import get_task
from harness.tasks.metrics import (
    CLASSIFICATION,
    OF_CLASS_1,
    RANKING,
    REGRESSION,
    classes,
    score,
)
from harness.tasks.own.kinds import get_kind


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


def test_scores_of_several_classes_are_scikit_learn_s():
    from scipy.special import softmax
    from sklearn import metrics

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 60)
    outputs = draw.normal(size=(60, 3)) + 1.5 * np.eye(3)[labels]
    outputs[:, 2] -= 5 * (np.arange(60) % 2)
    predicted = outputs.argmax(axis=1)
    names = [name for name in CLASSIFICATION if name not in OF_CLASS_1]
    found = score((*names, *RANKING), outputs, labels)
    expected = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "matthews": metrics.matthews_corrcoef(labels, predicted),
        "cohen_kappa": metrics.cohen_kappa_score(labels, predicted),
        "roc_auc": metrics.roc_auc_score(labels, softmax(outputs, axis=1), multi_class="ovr"),
        **{
            f"{name}_{average}": getattr(metrics, f"{name}_score")(
                labels, predicted, average=average
            )
            for name in ("f1", "precision", "recall")
            for average in ("macro", "micro", "weighted")
        },
    }
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


def test_scores_of_two_classes_by_hand():
    # tp 2, fn 1, fp 1, tn 3; class 1 outranks class 0 in 11 of 12 pairs
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    outputs = np.array([[0, 3], [0, 2], [0.5, 0], [0, 1], [1, 0], [2, 0], [3, 0]])
    found = score(("precision", "recall", "balanced_accuracy", "cohen_kappa", "roc_auc"), outputs,
                  labels)  # fmt: skip
    assert found == {
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "balanced_accuracy": pytest.approx((2 / 3 + 3 / 4) / 2),
        "cohen_kappa": pytest.approx((5 / 7 - 25 / 49) / (1 - 25 / 49)),
        "roc_auc": pytest.approx(11 / 12),
    }


def test_errors_by_hand():
    values, labels = np.array([[1.0], [2.0], [6.0]]), np.array([0.0, 2.0, 4.0])
    assert score(("mae", "mse", "rmse", "r2"), values, labels) == {
        "mae": pytest.approx(1.0),
        "mse": pytest.approx(5 / 3),
        "rmse": pytest.approx(math.sqrt(5 / 3)),
        "r2": pytest.approx(1 - 5 / 8),
    }


def test_what_cannot_be_computed_is_never_good():
    labels = np.array([0, 0, 1, 2])
    nothing = np.full((4, 3), np.nan)
    found = score((*CLASSIFICATION, *RANKING), nothing, labels)
    assert {name: value for name, value in found.items() if value} == {}
    one = logits([0, 0, 0, 0], 3)
    assert score(("cohen_kappa", "roc_auc"), one, np.zeros(4, dtype=int)) == {
        "cohen_kappa": 0.0, "roc_auc": 0.0,
    }  # fmt: skip
    errors = get_kind("regression").lowest
    wrong = score(tuple(REGRESSION), np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    assert {name for name, value in wrong.items() if value > 1e300} == errors
    assert {value for name, value in wrong.items() if name not in errors} == {0.0}


def test_a_row_without_a_prediction_is_wrong_and_no_class_of_its_own():
    labels = np.array([0, 0, 1, 1])
    outputs = logits([0, 0, 1, 1]).astype(float)
    outputs[3] = np.nan
    assert score(("f1_macro", "balanced_accuracy"), outputs, labels) == {
        "f1_macro": pytest.approx((1 + 2 / 3) / 2), "balanced_accuracy": pytest.approx(0.75),
    }  # fmt: skip


def test_rows_must_match():
    with pytest.raises(ValueError, match="2 predictions for 3 labels"):
        score(("accuracy",), logits([0, 1]), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="0 predictions for 0 labels"):
        score(("accuracy",), np.zeros((0, 2)), np.array([]))
