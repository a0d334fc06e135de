"""The report as JSON: what the tables show, as plain numbers with their units in the keys."""

from __future__ import annotations

import json
import math
from typing import Any

from harness.reporting.columns import Table
from harness.reporting.sections import Report, Section


def as_json(report: Report) -> str:
    """Return the whole report: bytes, seconds and fractions; what is not known is null."""
    content = {
        "sections": list(map(_section, report.sections)),
        "left_out": [{"path": each.path, "reason": each.reason} for each in report.left_out],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    group = section.group
    return {
        "name": group.name,
        "suite": group.suite["name"],
        "baseline": section.comparison.baseline,
        "expected_cells": group.expected,
        "cells": [_cell(record) for record in group.records],
        "tables": [_table(table) for table in section.tables],
        "facts": list(section.facts),
        "details": list(section.details),
    }


def _cell(record: Any) -> dict[str, Any]:
    asked = record.invocation
    return {
        "path": record.path,
        "key": record.key,
        "outcome": record.outcome,
        "message": record.message,
        "command": asked.command if asked else None,
        "overrides": asked.overrides if asked else None,
    }


def _table(table: Table[Any]) -> dict[str, Any]:
    headers = table.figure_headers
    rows = [dict(zip(headers, map(_finite, row), strict=True)) for row in table.figures]
    return {"title": table.title, "rows": rows, "notes": list(table.notes)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
