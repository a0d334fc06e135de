"""Labels and messages in terminals and in Markdown: they read as they are and break nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from records import eight_cells, record

from harness.printed import lines, one_line
from harness.reporting import terminal
from harness.reporting.columns import Table, words
from harness.reporting.inline import cell, code, prose
from harness.reporting.markdown import markdown_grid
from harness.reporting.report import write_report
from harness.store import Store

HOSTILE = [
    "lora[qv]", "[/x]", "[bold]x[/bold]", ":warning:", "a|b", r"a\|b", "a\nb", "<script>x</script>",
    "\x1b[31mred", "\x07", "![p](http://x/p.png)", "`a` <b>", "``a` <b>", "\u202eabc", "\ud800",
    "[a][b]",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_terminal_shows_text_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    columns = [words("method", lambda row: str(row)), words(text, lambda row: "value")]
    terminal.print_tables([Table(text, columns, [text], [text])], [f"error: {text}"])
    shown = capsys.readouterr().out
    assert shown.count(one_line(text)) >= 3, "title, header, row"
    assert f"\n{lines(text)}\nerror: " in shown, "the table's note"
    assert f"error: {lines(text)}" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_row_of_a_markdown_table_keeps_its_cells(text: str) -> None:
    grid = markdown_grid(["method", text], [[text, "1.0"]]).split("\n")
    assert len(grid) == 3
    for line in grid:
        unescaped = re.sub(r"\\.", "", line)  # as a parser reads: a backslash takes the next one
        assert unescaped.count("|") == 3, line


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_prose_holds_no_html_and_no_links(text: str) -> None:
    for shown in (prose(text), cell(text)):
        outside = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", shown)
        assert "<" not in outside
        assert "](" not in outside.replace("\\]", "")
        assert "][" not in outside.replace("\\]", "")
        assert shown.isprintable()


def test_plain_text_stays_as_it_is() -> None:
    for text in (
        "lora-r8",
        "0.5 ± 0.1 / 0.2",
        "1 MiB = 2^20 B",
        "`run --only '*<x>*'` then",
        "lora[qv]",
    ):
        assert prose(text) == text
    assert code("a`b") == "`` a`b ``"
    assert code("a|b") == "`a|b`"


def test_a_report_of_hostile_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells, store = eight_cells(tmp_path), Store(tmp_path / "out")
    message = "[/x] <img src=x>\n## Not a heading | \x1b[2J"
    for index, one in enumerate(cells):
        store.write(one, record(one, 0.5, outcome="ok" if index % 2 else "crashed",
                                message=message))  # fmt: skip
    store.write_manifest({"name": "small", "description": "a <b>\n\x1b[31m"}, cells)
    report = write_report(store)[0].read_text()
    assert "<img" not in report
    assert "\n## Not a heading" not in report
    assert "\x1b" not in report + capsys.readouterr().out
    assert "[/x] &lt;img src=x> ## Not a heading" in report
