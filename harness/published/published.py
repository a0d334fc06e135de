"""Published tables by name, and which of a suite's methods are their rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
MEAN = "mean of the models"  # in place of a model's name


@dataclass(frozen=True)
class Printed:
    """One figure as a paper prints it.

    Attributes:
        model: as the paper, or its code, names it; empty where a figure is of none.
        task, metric: by the harness' own names.
        text: as printed; empty where the paper has nothing.
        value: None where that is no number.
        unit: `percent`, `GB`, `M`, `TFLOPs`; others as they are.
        flag: what is to be known of this figure: inferred, inconsistent, copied from elsewhere.
    """

    method: str
    model: str
    task: str
    metric: str
    text: str
    value: float | None
    unit: str
    flag: str

    @property
    def digits(self) -> int:
        """Behind the decimal point."""
        return len(self.text.partition(".")[2])


@dataclass(frozen=True)
class Apart:
    """Where ours is known to differ, and why; None: nobody here knows. Empty: any."""

    method: str = ""
    model: str = ""
    task: str = ""
    metric: str = ""
    why: str | None = None

    def fits(self, printed: Printed) -> bool:
        """Tell whether it is said of this figure."""
        pairs = ((self.method, printed.method), (self.model, printed.model),
                 (self.task, printed.task), (self.metric, printed.metric))  # fmt: skip
        return all(ours in ("", theirs) for ours, theirs in pairs)


@dataclass(frozen=True)
class PublishedTable:
    """A table, or a figure, of a paper.

    Attributes:
        notes: what holds for all of it.
        apart: where ours is known to differ.
        unlike: metric -> why nothing of ours stands beside it.
        counted: row -> how its parameters are counted, with the number where it can be computed.
        no_suite: why no suite names it; None: one does.
    """

    name: str
    title: str
    shows: str
    figures: tuple[Printed, ...]
    notes: tuple[str, ...] = ()
    apart: tuple[Apart, ...] = ()
    unlike: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, str] = field(default_factory=dict)
    no_suite: str | None = None

    @property
    def methods(self) -> list[str]:
        """Its rows, in the order of the paper."""
        return list(dict.fromkeys(printed.method for printed in self.figures))


@dataclass(frozen=True)
class Reproduced:
    """A table that a suite reproduces.

    Attributes:
        methods: the table's rows -> labels of the suite, where they differ.
    """

    table: PublishedTable
    methods: Mapping[str, str]

    def label(self, method: str) -> str:
        """Return what the suite calls a row of the table."""
        return self.methods.get(method, method)


@cache
def _index() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((HERE / "index.yaml").read_text(encoding="utf-8"))
    return content


@cache
def _counts() -> tuple[dict[str, str], ...]:
    """Return what the papers' counts of parameters are of, as computed from public configs."""
    with (HERE / "parameter_counts.csv").open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def names() -> list[str]:
    """Return the names of all published tables."""
    return list(_index()["tables"])


def reproducible() -> list[str]:
    """Return the names of those that a suite may reproduce: results, not settings."""
    return [name for name, entry in _index()["tables"].items() if "no_suite" not in entry]


def tasks_of(task: str) -> list[str]:
    """Return the tasks that a figure is the mean of: itself, for most."""
    return list(_index()["means"].get(task, [task]))


@cache
def table(name: str) -> PublishedTable:
    """Return a table by its name, such as `safe_table2`.

    Raises:
        KeyError: there is none of that name.
    """
    entry = dict(_index()["tables"][name])
    with (HERE / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        figures = tuple(map(_printed, csv.DictReader(stream)))
    counted = {row["method"]: f"{row['computed']}: {row['convention']}"
               for row in _counts() if row["table"] == name}  # fmt: skip
    return PublishedTable(
        name=name,
        figures=figures,
        counted=counted,
        notes=tuple(entry.pop("notes", ())),
        apart=tuple(Apart(**one) for one in entry.pop("apart", ())),
        **entry,
    )


def _printed(row: Mapping[str, str]) -> Printed:
    try:
        value = float(row["value"])
    except ValueError:  # nothing, or words: a count as `8.5k`, the name of a metric
        value = None
    named = {key: row[key] for key in ("method", "model", "task", "metric", "unit", "flag")}
    return Printed(**named, text=row["value"], value=value)


def find(suite: Mapping[str, Any]) -> list[Reproduced]:
    """Return the tables that a suite names under `published`, as a run's manifest has it.

    What is no table of this version is left out: the manifest may be of another one.
    """
    return [Reproduced(table(name), rows) for name, rows in _named(suite) if name in names()]


def unknown(suite: Mapping[str, Any]) -> list[str]:
    """Return what a suite names under `published` and this version does not have."""
    return [name for name, _ in _named(suite) if name not in names()]


def _named(suite: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
    said = suite.get("published")
    if not isinstance(said, Mapping):
        return []
    return [(name, rows if isinstance(rows, Mapping) else {}) for name, rows in said.items()]
