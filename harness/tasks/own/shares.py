"""Shares of rows, and rows that stand on both sides of a split."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from harness.errors import UserError
from harness.tasks.base import Row

# A split belongs to the data and not to the cell: every seed evaluates on the same rows.
SPLIT_SEED = 42


def apart(
    rows: Sequence[Row], share: float, in_order: bool, where: str
) -> tuple[list[Row], list[Row]]:
    """Return the other rows and a share of them, at least one row, both in their order.

    Args:
        rows: all of them.
        share: between 0 and 1.
        in_order: the share is the end of the rows; else it is drawn.
        where: what an error begins with.

    Raises:
        UserError: nothing is left beside the share.
    """
    count = max(1, round(share * len(rows)))
    if count >= len(rows):
        raise UserError(f"{where}: a share of {share:g} leaves nothing of {len(rows)} rows")
    if in_order:
        return list(rows[:-count]), list(rows[-count:])
    drawn = set(random.Random(SPLIT_SEED).sample(range(len(rows)), count))
    others = [row for index, row in enumerate(rows) if index not in drawn]
    return others, [rows[index] for index in sorted(drawn)]


def seen_before(train: Sequence[Row], evaluations: Mapping[str, Sequence[Row]]) -> list[str]:
    """Say how many rows that are evaluated on are training rows, too."""
    known = {repr(row.facts()) for row in train}
    counts = {name: sum(repr(row.facts()) in known for row in part)
              for name, part in evaluations.items()}  # fmt: skip
    return [
        f"{count} of {len(evaluations[name])} {name} rows stand among the training rows, too"
        for name, count in counts.items()
        if count
    ]
