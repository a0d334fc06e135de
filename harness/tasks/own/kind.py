"""The interface: which columns a kind of own data needs, and what becomes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.own.functions import call, function_of, is_function
from harness.tasks.own.parts import Place

if TYPE_CHECKING:
    from harness.tasks.base import Row
    from harness.tasks.generation import Generation
    from harness.tasks.own.cells import Cells
    from harness.tasks.own.data import OwnData


class Kind(ABC):
    """What a kind of own data decides.

    Attributes:
        family: of the tasks.
        roles: the keys of a suite that name columns, each with the column's usual name; None: the
            column is there only where it is named.
        has_classes: labels are classes, numbered over all training rows.
        known_metrics: what a suite may name, beside functions.
        lowest: the metrics of which less is better.
        usual_metrics: where a suite names none, the main one first.
        generation: how answers are generated, where a suite does not say how; None: one forward
            pass evaluates.
    """

    family: ClassVar[str]
    roles: ClassVar[Mapping[str, str | None]]
    has_classes: ClassVar[bool] = False
    known_metrics: ClassVar[tuple[str, ...]]
    lowest: ClassVar[frozenset[str]] = frozenset()
    usual_metrics: ClassVar[tuple[str, ...]]
    generation: ClassVar[Generation | None] = None

    def place(self, data: OwnData, root: Path | None, revision: str | None) -> Place:
        """Return where the rows lie: files, or the hub, as tables."""
        return Place(data, root, revision)

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

    def generation_of(self, data: OwnData) -> Generation | None:
        """Return how answers are generated; None: one forward pass evaluates."""
        return self.generation

    def in_order(self, data: OwnData) -> bool:
        """Tell whether rows belong together in their order, so that shares are cut off the end."""
        return False

    def refused(self, data: OwnData) -> str | None:
        """Return what is wrong with what a suite says; None: nothing is."""
        return None if data.generation is None else f"generation: a {data.kind} generates nothing"

    def require(self, metrics: Sequence[str]) -> None:  # noqa: B027
        """See that known metrics can be computed here.

        Raises:
            UserError: naming what is not installed.
        """

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
