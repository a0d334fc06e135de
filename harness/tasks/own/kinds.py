"""Kinds of own data: which columns each needs, and how a row of a file becomes the family's row.

A kind is one class in a file of its own, and one line in KINDS.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.own.functions import call, function_of, is_function

if TYPE_CHECKING:
    from harness.tasks.base import Row
    from harness.tasks.generation import Generation
    from harness.tasks.own.cells import Cells

# Name -> "module:class", imported when it is asked for.
KINDS: dict[str, str] = {
    "classification": "harness.tasks.own.one_label:OwnClassification",
    "regression": "harness.tasks.own.one_label:OwnRegression",
    "question_answering": "harness.tasks.own.question_answering:OwnQuestionAnswering",
    "image": "harness.tasks.own.images:OwnImages",
}


class Kind(ABC):
    """What a kind of own data decides.

    Attributes:
        family: of the tasks.
        roles: the keys of a suite that name columns, each with the column's usual name; None: the
            column is there only where it is named.
        has_classes: labels are classes, numbered over all training rows.
        known_metrics: what a suite may name, beside functions.
        usual_metrics: where a suite names none, the main one first.
        generation: how answers are generated; None: one forward pass evaluates.
        place: "module:class" of what finds the rows and makes tables of them.
    """

    family: ClassVar[str]
    roles: ClassVar[Mapping[str, str | None]]
    has_classes: ClassVar[bool] = False
    known_metrics: ClassVar[tuple[str, ...]]
    usual_metrics: ClassVar[tuple[str, ...]]
    generation: ClassVar[Generation | None] = None
    place: ClassVar[str] = "harness.tasks.own.parts:Place"

    @abstractmethod
    def row(self, cells: Cells, classes: Mapping[str, int]) -> Row:
        """Make the family's row.

        Args:
            cells: of one row of the file.
            classes: the number of each label; empty where the kind has no classes.

        Raises:
            UserError: by `cells.wrong`, where a cell holds what the kind cannot use.
        """

    @abstractmethod
    def known_scores(
        self, metrics: Sequence[str], predictions: Any, references: Any
    ) -> dict[str, float]:
        """Return metrics of `known_metrics`, of the family's predictions and references."""

    def predicted(self, predictions: Any) -> Any:
        """Make of the family's predictions what a function is called with, beside references."""
        return predictions

    def check_metrics(self, metrics: Sequence[str], rows: Sequence[Any], num_labels: int) -> None:
        """Find out before training what would keep the rows of an evaluation from being scored.

        Raises:
            UserError: naming the metric.
        """
        for name in filter(is_function, metrics):
            function_of(name)

    def score(self, metrics: Sequence[str], predictions: Any, references: Any) -> dict[str, float]:
        """Return the metrics, known ones and functions."""
        known = [name for name in metrics if not is_function(name)]
        scores = self.known_scores(known, predictions, references) if known else {}
        for name in metrics:
            if is_function(name):
                scores[name] = call(name, references, self.predicted(predictions))
        return scores


@cache
def get_kind(name: str) -> Kind:
    """Return the kind of this name, one of KINDS."""
    kind: Kind = named(KINDS[name])()
    return kind


def named(place: str) -> Any:
    """Return what stands at "module:attribute", imported now."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
