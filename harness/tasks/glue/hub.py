"""GLUE from the Hugging Face hub."""

from __future__ import annotations

from typing import Any

from harness.errors import UserError
from harness.tasks.base import DataRequest, Example
from harness.tasks.glue.rows import Rows, find_columns, label_of
from harness.tasks.glue.splits import Parts
from harness.tasks.glue.table import GlueSpec
from harness.tasks.sources.hub import address, advising_local_files, hub_part

REPOSITORY = "nyu-mll/glue"
# Pinned, so that a record says which rows it saw: the parquet files of January 2024.
REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"


def read(spec: GlueSpec, request: DataRequest) -> Rows:
    """All labelled rows of one task, at the request's revision or the pinned one.

    Raises:
        UserError: if the hub cannot be reached or its data are not as expected.
    """
    revision = request.revision or REVISION
    source = address(REPOSITORY, revision)
    names = {"train": "train", "dev": "validation"}
    if spec.rule == "mismatched":
        names = {"train": "train", "dev": "validation_matched"}
        names["mismatched"] = "validation_mismatched"
    with advising_local_files():
        loaded = {
            part: hub_part(REPOSITORY, spec.name, revision, name) for part, name in names.items()
        }
    rows = {
        part: _examples(spec, request, loaded[part], f"{source} {spec.name} {name}")
        for part, name in names.items()
    }
    return Rows(Parts(**rows), source)


def _examples(spec: GlueSpec, request: DataRequest, part: Any, where: str) -> list[Example]:
    columns = find_columns(spec, request, part.column_names, where)
    names = getattr(part.features[columns.label], "names", None)
    if names is not None and tuple(names) != spec.labels:
        raise UserError(f"{where}: classes {names}, expected {list(spec.labels)}")
    texts, labels = part[columns.text][:], part[columns.label][:]
    pairs = [None] * len(texts) if columns.pair is None else part[columns.pair][:]
    if not texts:
        raise UserError(f"{where}: no rows")
    at = f"{where}, column {columns.label!r}"
    return [
        Example(text, pair, label_of(spec, str(label), at))
        for text, pair, label in zip(texts, pairs, labels, strict=True)
    ]
