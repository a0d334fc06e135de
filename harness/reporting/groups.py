"""What stands in one comparison: records of one suite with one set of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.record import Record


@dataclass(frozen=True)
class Group:
    """Records that compare with each other.

    Attributes:
        name: the suite's name, and what tells the group from others of the same suite.
        suite: the suite as the manifest of the run has it.
        records: in the order of the suite; of any outcome, at least one.
        expected: cells of the suite; None where no manifest says it.
        notes: what a reader has to know of the group.
        halved: those of the records that ran in smaller batches than they ask for, with their
            memory and time, which `records` are without.
    """

    name: str
    suite: Mapping[str, Any]
    records: Sequence[Record]
    expected: int | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    halved: Sequence[Record] = field(default_factory=tuple)
