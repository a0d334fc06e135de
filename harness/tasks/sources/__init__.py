"""Rows as they lie in files and on the hub, before any task makes something of them."""

from harness.tasks.sources.files import SUFFIXES, read_rows, read_table
from harness.tasks.sources.folders import Parts, find_parts
from harness.tasks.sources.hub import hub_rows, hub_table
from harness.tasks.sources.table import Table

__all__ = [
    "SUFFIXES",
    "Parts",
    "Table",
    "find_parts",
    "hub_rows",
    "hub_table",
    "read_rows",
    "read_table",
]
