"""Parquet files."""

from __future__ import annotations

import io

from harness.errors import UserError
from harness.tasks.sources.table import Table
from harness.untrusted import said


def parquet_table(content: bytes, source: str) -> Table:
    """Read all rows as Python's own types; what pictures hold is bytes.

    Raises:
        UserError: it is no Parquet, or holds what Python has no value for.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        found = parquet.read_table(io.BytesIO(content))
        rows = found.to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{source}: not Parquet that can be read: {said(error)}") from None
    return Table(source, tuple(found.column_names), rows, range(1, len(rows) + 1), "row")
