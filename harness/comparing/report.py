"""A comparison on the terminal, as Markdown and CSV, and as data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import durable
from harness.comparing.moves import CellMove, Comparison, Shift
from harness.comparing.scores import score_rows
from harness.comparing.sides import Side
from harness.comparing.tables import all_cells, comparison_tables
from harness.comparing.wording import headline, notes
from harness.reporting.columns import Table
from harness.reporting.inline import prose
from harness.reporting.markdown import markdown_table
from harness.reporting.terminal import print_tables


def show(comparison: Comparison) -> None:
    """Print it."""
    print_tables([], headline(comparison))
    print_tables(comparison_tables(comparison), notes(comparison))


def write(comparison: Comparison, folder: Path) -> None:
    """Write compare.md and compare.csv into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    durable.write_text(folder / "compare.md", markdown(comparison))
    durable.write_text(folder / "compare.csv", _csv(all_cells(comparison)))
    print(f"written: {folder / 'compare.md'}, compare.csv")


def markdown(comparison: Comparison) -> str:
    """Return it as Markdown."""
    parts = ["# Before and after", "\n".join(f"- {prose(line)}" for line in headline(comparison))]
    for table in comparison_tables(comparison):
        parts += [f"## {prose(table.title)}", markdown_table(table)]
    parts += ["\n".join(f"- {prose(note)}" for note in notes(comparison))]
    return "\n\n".join(parts) + "\n"


def _csv(table: Table[Any]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([table.figure_headers, *table.figures])
    return stream.getvalue()


def data(comparison: Comparison) -> dict[str, Any]:
    """Return all of it for `--json`; bytes, fractions, seconds."""
    return {
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "environment": {name: list(pair) for name, pair in comparison.facts.items()},
        "settings": [
            {"setting": name, "before": before, "after": after, "cells": paths}
            for (name, before, after), paths in comparison.settings.items()
        ],
        "cells": [_cell(move) for move in comparison.moves],
        "only_before": comparison.only_before,
        "only_after": comparison.only_after,
        "without_figures": {path: list(pair) for path, pair in comparison.reasons.items()},
        "scores": [
            {**asdict(row), "moved": row.moved, "time": row.time} for row in score_rows(comparison)
        ],
        "notes": notes(comparison),
    }


def _side(side: Side) -> dict[str, Any]:
    return {"name": side.name, "kind": side.kind, "environment": dict(side.facts)}


def _cell(move: CellMove) -> dict[str, Any]:
    return {
        "cell": move.path,
        "sizes": _named(move.sizes),
        "part": [move.before.part, move.after.part],
        "split": _named(move.split),
        "places": [
            {"category": place.category, "module": place.module, **_pair(shift)}
            for place, shift in move.places.items()
        ],
        "renamed": [
            {"category": old.category, "before": old.module, "after": new.module}
            for old, new in move.renamed.items()
        ],
        "elsewhere": move.elsewhere,
    }


def _named(shifts: Mapping[str, Shift]) -> dict[str, dict[str, int]]:
    return {name: _pair(shift) for name, shift in shifts.items()}


def _pair(shift: Shift) -> dict[str, int]:
    return {"before": shift.before, "after": shift.after, "moved": shift.moved}
