"""Own data as files, and as tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.tasks.base import DataRequest, TaskData
from harness.tasks.own.data import OwnData
from harness.tasks.own.task import OwnTask

TRAIN = [("so good", "pos"), ("so bad", "neg"), ("so NA", "NA"), ("good, too", "pos"),
         ("bad, too", "neg"), ("NA, too", "NA")]  # fmt: skip


def write(path: Path, rows: list[tuple[str, Any]], columns: tuple[str, str] = ("text", "label")):
    """Write rows as the kind of file that the name says."""
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    if path.suffix == ".json":
        path.write_text(json.dumps(named))
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in named))
    elif path.suffix == ".parquet":
        from datasets import Dataset

        Dataset.from_list(named).to_parquet(path)
    else:
        lines = [columns, *rows]
        path.write_text("".join("{}\n".format(",".join(f'"{f}"' for f in line)) for line in lines))


def task(path: Path | str, kind: str = "classification", revision: str | None = None,
         root: Path | None = None, **said: Any) -> OwnTask:  # fmt: skip
    data = OwnData(kind=kind, path=str(path), **said)
    return OwnTask("mine", data, root, revision)


def load(own: OwnTask, **request: Any) -> TaskData:
    return own.load(DataRequest(**request))
