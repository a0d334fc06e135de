"""Cells of a bare shape, to forecast."""

from __future__ import annotations

from pathlib import Path

from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUITE = """\
name: shapes
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 8, length: 48}}
methods: [full, lora]
seeds: [0, 1]
"""


def cells(tmp_path: Path, *overrides: str) -> list[Cell]:
    """Return the suite's cells."""
    file = tmp_path / "shapes.yaml"
    file.write_text(SUITE)
    return load_suite(file, overrides).cells()
