"""What a report says of one group: its tables, figures and notes, in the order they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.reporting.analyses import analysis_notes, analysis_tables
from harness.reporting.caption import details, facts
from harness.reporting.columns import Table
from harness.reporting.compacted import compacted_notes, compacted_tables
from harness.reporting.comparison import Comparison, Row, compare_methods
from harness.reporting.figures.against import against_of
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.of_records import figures_of
from harness.reporting.groups import Group
from harness.reporting.lacking import halved_tables, lack_tables
from harness.reporting.method_notes import meanings
from harness.reporting.paired import paired_facts, paired_notes, paired_tables
from harness.reporting.phases import phase_notes, phase_tables
from harness.reporting.published import published_tables
from harness.reporting.statistics import paired_tests
from harness.reporting.tables import (
    cost_tables,
    main_tables,
    score_tables,
    split_tables,
    task_tables,
    whole_tables,
)
from harness.run_files import LeftOut
from harness.suite.assumed import sentences


@dataclass(frozen=True)
class Section:
    """All that is made of a group, before any of it is written or printed.

    Attributes:
        tables: the main one of each model first.
        whole: a table per model with every column, for machines.
        figures: drawn when they are asked for.
        facts: what a reader has to know to read the tables.
        details: how the figures came about, for those who ask.
    """

    group: Group
    comparison: Comparison
    tables: Sequence[Table[Any]]
    whole: Sequence[Table[Row]]
    figures: Sequence[Figure]
    facts: Sequence[str]
    details: Sequence[str]


@dataclass(frozen=True)
class Report:
    """A section for each group of records that compare with each other.

    Attributes:
        left_out: records that cannot be read, and those that no table can be made with.
        texts: what its files hold, by their names; but for what is drawn.
    """

    sections: Sequence[Section]
    left_out: Sequence[LeftOut] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """The groups of the sections."""
        return [section.group for section in self.sections]


# What stands below the main tables, in this order: of a group and its comparison.
TABLES: tuple[Callable[[Group, Comparison], Sequence[Table[Any]]], ...] = (
    lambda group, comparison: published_tables(group),
    lambda group, comparison: score_tables(comparison),
    lambda group, comparison: split_tables(comparison),
    lambda group, comparison: task_tables(comparison),
    lambda group, comparison: phase_tables(group.records),
    lambda group, comparison: compacted_tables(group.records),
    lambda group, comparison: halved_tables(group.halved, group.records),
    lambda group, comparison: lack_tables(group.records),
    lambda group, comparison: cost_tables(comparison),
    lambda group, comparison: analysis_tables(comparison),
)


def section_of(group: Group, baseline: str | None = None) -> Section:
    """Make a group's section; `baseline` goes before the suite's."""
    comparison = compare_methods(group.records, baseline or group.suite.get("baseline"))
    tests = paired_tests(comparison)
    return Section(
        group=group,
        comparison=comparison,
        tables=[
            *main_tables(comparison),
            *(table for make in TABLES for table in make(group, comparison)),
            *paired_tables(comparison, tests),
        ],
        whole=whole_tables(comparison),
        figures=[*figures_of(group, comparison.baseline), *against_of(group)],
        facts=[*group.notes, *facts(comparison), *paired_facts(comparison, tests)],
        details=[
            *meanings(group.records),
            *details(comparison),
            *paired_notes(tests),
            *sentences(group.suite),
            *phase_notes(group.records),
            *compacted_notes(group.records),
            *analysis_notes(group.records),
        ],
    )
