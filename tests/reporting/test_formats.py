"""What a record says stands literally in every format, and all formats say the same."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from records import eight_cells, record

from harness.printed import one_line
from harness.record import Record
from harness.reporting.inline import cell, code, literal, prose
from harness.reporting.latex import ESCAPES, escaped
from harness.reporting.markdown import folded, markdown_grid
from harness.reporting.report import FILES, report_of, report_on, write
from harness.reporting.sections import Report
from harness.run_files import Held
from harness.store import Store

HOSTILE = [
    "<script>alert(1)</script>", "a|b", r"a\|b", r"\textbf{x} $x_1^2$ 50% & # ~", "{}", "**a** _b_",
    "__init__ a_b_c", "`a` <b>", "&lt;b&gt; &#42; & co", "[a](http://x) ![p](q) [a][b]", "[a]: b",
    "# heading", "1. first", "- item", "> quote", "~~gone~~", "\x1b[31mred\x1b[0m", "a\nb\r\nc",
    "\u202eright to left", "\u05e9\u05dc\u05d5\u05dd", "'\"", "--- ---", "=1+1", "\ud800", "\\",
    "ends with \\", "*", "$$", "<!-- x -->", "</details>", "a\tb", "\u2028",
]  # fmt: skip
RENDERED = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


class Text(HTMLParser):
    """Collects what a browser shows, and the tags that it obeys."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.tags = "", []  # type: ignore[var-annotated]

    def handle_data(self, data: str) -> None:
        self.shown += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def page(markdown: str) -> Text:
    text = Text()
    text.feed(RENDERED.render(markdown))
    return text


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_shows_the_text_as_it_is(text: str) -> None:
    as_it_is = squeezed(one_line(text))
    assert squeezed(page(f"- {literal(text)}").shown) == as_it_is
    assert squeezed(page(f"- {code(text)}").shown) == as_it_is
    assert page(f"- {literal(text)}").tags == ["ul", "li"]
    grid = f"| {cell(text)} | x |\n| --- | --- |\n| {cell(text)} | y |"
    shown = page(grid)
    assert squeezed(shown.shown) == squeezed(f"{as_it_is} x {as_it_is} y")
    assert (
        squeezed(page("\n\n".join(folded(text, ["inside"]))).shown) == f"{as_it_is} inside".strip()
    )
    if "`" not in text:
        assert (
            squeezed(page(f"- A sentence: {prose(text)}").shown)
            == f"A sentence: {as_it_is}".strip()
        )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_tex_reads_no_command_out_of_it(text: str) -> None:
    back = {tex: character for character, tex in ESCAPES.items()}
    read = re.sub("|".join(map(re.escape, sorted(back, key=len, reverse=True))),
                   lambda found: back[found[0]], escaped(text))  # fmt: skip
    assert read == one_line(text)
    left = re.sub("|".join(map(re.escape, sorted(back, key=len, reverse=True))), "", escaped(text))
    assert not set(left) & set("\\{}$&#%_^~")


def hostile_report(folder: Path) -> tuple[Report, str]:
    """Make a report whose every free text is hostile."""
    cells = eight_cells(folder)
    text = " ".join(HOSTILE).replace("/", "").replace("\ud800", "")  # no JSON file holds that
    found: list[Record] = []
    for number, one in enumerate(cells):
        label = text if one.method == "lora" else "full"
        path = f"{one.task.name}/{text[:30]}/{label}/s{one.seed}"
        made = record(one, 0.5, outcome="ok" if number % 2 else "oom", message=text)
        made.path = path
        made.shortfalls = [text]
        made.remarks = [text]
        made.environment.cpu = text
        found.append(made)
    manifest = {"suite": {"name": "small", "description": text}, "cells": []}
    return report_on([Held(manifest, found)]), text


def test_a_hostile_record_is_shown_in_every_format(tmp_path: Path) -> None:
    report, text = hostile_report(tmp_path)
    assert not report.left_out
    shown = page(report.texts["report.md"])
    allowed = {"h1", "h2", "h3", "p", "em", "strong", "ul", "li", "code", "details", "summary"}
    tables = {"table", "thead", "tbody", "tr", "th", "td"}
    assert set(shown.tags) <= allowed | tables
    label = report.groups[0].records[-1].method
    assert squeezed(shown.shown).count(squeezed(one_line(label))) >= 5
    assert squeezed(one_line(text)) in squeezed(shown.shown), "message"
    content = json.loads(report.texts["report.json"])
    [first, *_] = content["sections"][0]["tables"]
    assert first["rows"][-1]["method"] == label
    rows = list(csv.DictReader(io.StringIO(report.texts["comparison.csv"], newline="")))
    assert rows[-1]["method"] == label
    assert escaped(label) in report.texts["report.tex"]
    for name, whole in report.texts.items():
        if name.endswith((".md", ".tex")):
            assert all(c.isprintable() or c in "\n\u00a0" for c in whole), name


def test_figures_are_shown_where_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = eight_cells(tmp_path)
    manifest = {"suite": {"name": "small"}, "cells": []}
    made = report_on([Held(manifest, [record(one, 0.5) for one in cells])])
    write(made, tmp_path / "plain", ["md"])
    assert "<picture>" not in (tmp_path / "plain" / "report.md").read_text()

    def spoilt(mode: object) -> None:
        raise ValueError("no room")

    [section] = made.sections
    first, *others = section.figures
    broken = replace(section, figures=[replace(first, draw=spoilt), *others])
    write(replace(made, sections=[broken]), tmp_path / "drawn", ["md", "png"])
    assert f"not drawn: figure {first.name}: no room" in capsys.readouterr().err
    text = (tmp_path / "drawn" / "report.md").read_text()
    assert others
    assert text.count("<picture>") == len(others)
    files = {f"figures/{file.name}" for file in (tmp_path / "drawn" / "figures").iterdir()}
    assert files == set(re.findall(r'(?:src|srcset)="([^"]+)"', text))
    assert len(files) == 2 * len(others)


def test_all_formats_have_the_same_rows(tmp_path: Path) -> None:
    cells, store = eight_cells(tmp_path), Store(tmp_path / "run")
    store.write_manifest({"name": "small"}, cells)
    for number, one in enumerate(cells):
        store.write(one, record(one, 0.5 + number / 100))
    report = report_of([store])
    assert set(report.texts) == {name for each in FILES.values() for name in each}
    content = json.loads(report.texts["report.json"])
    section = content["sections"][0]
    assert [each["path"] for each in section["cells"]] == [one.path for one in cells]
    main = section["tables"][0]["rows"]
    rows = list(csv.DictReader(io.StringIO(report.texts["comparison.csv"])))
    for own, row in zip(main, rows, strict=True):
        for key in ("method", "acceptability accuracy (fraction)", "peak (B)"):
            assert str(own[key]) == row[key]
    tex = report.texts["report.tex"]
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") >= 4
    assert r"lora{-}r8 & 55.00 $\pm$ 0.71" in tex or r"$\pm$" in tex
    assert r"\textbf{" in tex


def test_a_score_stays_on_its_line() -> None:
    grid = markdown_grid(["method", "a"], [["a ± b", "50.00 ± 0.71 (2 OOM, CRASHED)"]])
    assert "| a ± b  | 50.00\u00a0±\u00a00.71 (2\u00a0OOM, CRASHED) |" in grid
