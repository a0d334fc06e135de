"""The nine GLUE tasks as a table, and the task that reads and splits any of them."""

from __future__ import annotations

from typing import Any

from harness.tasks.base import (
    DataRequest,
    Protocol,
    Task,
    TaskData,
    fingerprint,
    limit_notes,
    limited,
)
from harness.tasks.glue import files, hub, splits
from harness.tasks.glue.table import GLUE

# Where the metric that selects, or the main one of the table, is not the task's first metric:
# AFLoRA selects MRPC by F1 and prints accuracy (its run_glue.py and Table 1); SAFE prints F1.
SELECT_METRIC: dict[tuple[str, Protocol], str] = {("mrpc", "aflora"): "f1", ("mrpc", "safe"): "f1"}
MAIN_METRIC: dict[tuple[str, Protocol], str] = {("mrpc", "safe"): "f1"}
# AFLoRA's average over tasks takes QQP as the mean of both metrics (reproduces its Table 1).
AVERAGED: dict[tuple[str, Protocol], tuple[str, ...]] = {("qqp", "aflora"): ("accuracy", "f1")}


class GlueTask(Task):
    """One GLUE task, from the hub or from files in the original layout."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._spec = GLUE[name]
        self.description = self._spec.description
        self.family = "classification" if self._spec.labels else "regression"
        self.num_labels = len(self._spec.labels) or 1
        self.label_names = self._spec.labels
        self.metrics = self._spec.metrics

    def load(self, request: DataRequest) -> TaskData:
        """Read the rows, split them by the protocol, then cut each part to the asked number."""
        rows = (files if self.is_local(request) else hub).read(self._spec, request)
        split = splits.split(rows.parts, request.protocol, self._spec.rule)
        train = limited(split.train, request.train_rows)
        evaluations = {
            name: limited(part, request.evaluation_rows) for name, part in split.evaluations.items()
        }
        return TaskData(
            train=train,
            evaluations=evaluations,
            select_on=split.select_on,
            report_on=split.report_on,
            source=rows.source,
            fingerprint=fingerprint(train, evaluations),
            notes=(*rows.notes, *self._size_notes(rows.parts), *limit_notes(request, train)),
            **self._metric_roles(request.protocol),
        )

    def _metric_roles(self, protocol: Protocol) -> dict[str, Any]:
        key = (self.name, protocol)
        main = MAIN_METRIC.get(key, self.metrics[0])
        return {
            "select_metric": SELECT_METRIC.get(key, main),
            "main_metric": main,
            "averaged": AVERAGED.get(key, (main,)),
        }

    def _size_notes(self, parts: splits.Parts) -> tuple[str, ...]:
        """Say so where the rows are not the official ones."""
        sizes = {"train": len(parts.train), "dev": len(parts.dev)}
        return tuple(
            f"{part} has {sizes[part]:,} rows, official GLUE has {official:,}"
            for part, official in zip(sizes, self._spec.rows, strict=True)
            if sizes[part] != official
        )
