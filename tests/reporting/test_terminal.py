"""Tables in the terminal: whole words and numbers at every width."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import eight_cells, record

from harness.reporting import terminal
from harness.reporting.comparison import compare_methods
from harness.reporting.tables import main_tables


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_table_breaks_between_columns_and_never_in_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(terminal, "LOG_WIDTH", width)
    tables = main_tables(compare_methods([record(cell, 0.5) for cell in eight_cells(tmp_path)]))
    terminal.print_tables(tables, [])
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for row in tables[0].texts:
        for cell in row:
            assert cell in text, f"{cell} is broken"
    stacked = width < 100
    assert sum(line.strip().startswith("method") for line in lines) == (not stacked)
    assert text.count("peak MiB ↓") == (2 if stacked else 1), "a line of each row, or a header"
