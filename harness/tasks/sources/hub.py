"""Data sets of the Hugging Face hub, or folders in its layout; no code of theirs is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import hub as hugging_face
from harness.errors import UserError
from harness.tasks.sources.table import Table
from harness.untrusted import said


def hub_rows(
    repository: str, config: str, revision: str | None, split: str
) -> list[dict[str, Any]]:
    """Return the rows of one split; classes are numbers, pictures bytes.

    Args:
        repository: id on the hub, or a folder in its layout.
        config: of the data set; `default` where it has none.
        revision: a commit, so that a record says which rows it saw; or a branch. Where a
            repository holds a loading script, `refs/convert/parquet` has its rows.
        split: such as `train`.

    Raises:
        UserError: the hub cannot be reached, or does not have it.
    """
    rows: list[dict[str, Any]] = hub_part(repository, config, revision, split).to_list()
    return rows


def hub_table(repository: str, config: str, revision: str | None, split: str) -> Table:
    """Return the rows of one split with their places; classes are names, None where there is none.

    Raises:
        UserError: as `hub_rows`.
    """
    part = hub_part(repository, config, revision, split)
    named = {
        column: tuple(feature.names)
        for column, feature in part.features.items()
        if getattr(feature, "names", None)
    }
    columns, rows = tuple(part.column_names), part.to_list()
    for column, names in named.items():
        for row in rows:
            number = row[column]
            known = number is not None and 0 <= number < len(names)
            row[column] = names[number] if known else None
    source = f"{address(repository, revision)} {config} {split}"
    return Table(source, columns, rows, range(1, len(rows) + 1), "row", named)


@contextmanager
def advising_local_files() -> Iterator[None]:
    """Say of what the hub does not give that local files do: for tasks that know their layout."""
    try:
        yield
    except UserError as error:
        advice = "without a network, give data_root or folder with local files"
        raise UserError(f"{error}; {advice}") from error


def address(repository: str, revision: str | None) -> str:
    """Return what a record calls the source."""
    return f"hub {repository}@{revision or 'main'}"


def hub_part(repository: str, config: str, revision: str | None, split: str) -> Any:
    """Return one split as `datasets` has it.

    Raises:
        UserError: as `hub_rows`.
    """
    # Before datasets is imported, which notes it down.
    trouble = None if Path(repository).is_dir() else hugging_face.trouble()
    try:
        return _load(repository, config, revision, split)
    except (OSError, ValueError, RuntimeError) as error:
        reason = f"{trouble}, and it is not in the cache" if trouble else said(error)
        raise UserError(
            f"cannot load {config} of {repository}@{revision or 'main'} from the hub, "
            f"split {split} ({reason})"
        ) from error


def _load(repository: str, config: str, revision: str | None, split: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(repository, config, revision=revision, split=split)
    except ValueError as error:
        if "BuilderConfig" not in str(error):
            raise
        unknown = error
    # What the hub converts has no card that names configs: each is a folder with one per split.
    files = {split: f"{config}/{split}/*.parquet"}
    try:
        return load_dataset(repository, revision=revision, data_files=files, split=split)
    except FileNotFoundError:
        raise unknown from None
