"""Own texts or text pairs with one label each: a class, or a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.errors import UserError
from harness.tasks.base import Example, Row
from harness.tasks.own.cells import Cells
from harness.tasks.own.functions import call, is_function
from harness.tasks.own.kind import Kind
from harness.tasks.own.labels import is_number


class _OneLabel(Kind):
    """Rows are `Example`s."""

    roles: ClassVar[Mapping[str, str | None]] = {"text": "text", "pair": None, "label": "label"}

    def row(self, cells: Cells, classes: Mapping[str, int]) -> Row:
        """Take over the texts, and make a number of the label."""
        pair = cells.text("pair") if "pair" in cells.columns else None
        return Example(cells.text("text"), pair, self._number(cells, classes))

    def known_scores(
        self, metrics: Sequence[str], predictions: Any, references: Any
    ) -> dict[str, float]:
        """Score logits (n, classes), or values (n, 1), against the labels (n,)."""
        from harness.tasks.metrics import score

        return score(metrics, predictions, references)

    def check_metrics(self, metrics: Sequence[str], rows: Sequence[Any], num_labels: int) -> None:
        """Try functions on labels that are all predicted right."""
        import numpy as np

        labels = np.array([row.label for row in rows])
        for name in filter(is_function, metrics):
            call(name, labels, labels)

    def _number(self, cells: Cells, classes: Mapping[str, int]) -> int | float:
        raise NotImplementedError


class OwnClassification(_OneLabel):
    """One class of several, by any words."""

    family: ClassVar[str] = "classification"
    has_classes: ClassVar[bool] = True
    # Those of harness.tasks.metrics, which imports numpy.
    known_metrics: ClassVar[tuple[str, ...]] = (
        "accuracy", "balanced_accuracy", "f1", "precision", "recall", "f1_macro", "f1_micro",
        "f1_weighted", "precision_macro", "precision_micro", "precision_weighted", "recall_macro",
        "recall_micro", "recall_weighted", "matthews", "cohen_kappa", "roc_auc",
    )  # fmt: skip
    usual_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1_macro")

    def predicted(self, predictions: Any) -> Any:
        """Return numbers of classes (n,), -1 where there is none."""
        from harness.tasks.metrics import classes

        return classes(predictions)

    def check_metrics(self, metrics: Sequence[str], rows: Sequence[Any], num_labels: int) -> None:
        """Refuse, too, what is said of class 1 where there are others beside it and class 0."""
        from harness.tasks.metrics import OF_CLASS_1

        super().check_metrics(metrics, rows, num_labels)

        for name in metrics:
            if name in OF_CLASS_1 and num_labels != 2:
                raise UserError(
                    f"metric {name!r} is of class 1 of two, and there are {num_labels}; take "
                    f"{name}_macro, {name}_micro or {name}_weighted"
                )

    def _number(self, cells: Cells, classes: Mapping[str, int]) -> int:
        return classes[cells.label()]


class OwnRegression(_OneLabel):
    """One number."""

    family: ClassVar[str] = "regression"
    known_metrics: ClassVar[tuple[str, ...]] = (
        "pearson", "spearman", "mae", "mse", "rmse", "r2",
    )  # fmt: skip
    lowest: ClassVar[frozenset[str]] = frozenset({"mae", "mse", "rmse"})
    usual_metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")

    def predicted(self, predictions: Any) -> Any:
        """Return the values (n,)."""
        return predictions.reshape(len(predictions))

    def _number(self, cells: Cells, classes: Mapping[str, int]) -> float:
        label = cells.label()
        if not is_number(label):
            raise cells.wrong("label", f"{label!r} is no number")
        return float(label)
