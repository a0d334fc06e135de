"""The HTML page, as a document: what is in it, what cannot be in it, and how large it is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, Document, data_of, forecast, group, hostile, sized

from harness.printed import lines, one_line
from harness.provenance import Invocation
from harness.reporting.as_page import MOST_BYTES, as_page
from harness.reporting.columns import Table, number, words
from harness.reporting.comparison import SPLIT
from harness.reporting.figures.figure import MODES, Figure
from harness.reporting.figures.theme import DARK, LIGHT
from harness.reporting.page import page as page_module
from harness.reporting.page.chapter import Chapter, Picture
from harness.reporting.page.embedding import data, prose
from harness.reporting.page.page import SCRIPTS, page
from harness.reporting.sections import Report, section_of

FOLDER = Path(page_module.__file__).parent


@pytest.fixture
def simple(tmp_path: Path) -> str:
    records = sized(tmp_path, {"full": 300, "lora": 200, "bitfit": 100}, [0.9, 0.8, 0.7])
    return page("a report", [Chapter(group(records))])


def test_the_page_needs_nothing_beside_itself(simple: str) -> None:
    document = Document(simple)
    loaders = {"src", "srcset", "href", "data", "action", "poster", "background", "style"}
    found = [
        (tag, name, value)
        for tag, attributes in document.tags
        for name, value in attributes.items()
        if name in loaders or name.startswith("on")
    ]
    assert found == [("a", "href", "#content")]
    outside = set(re.findall(r"\w+://[^\s\"'<>]+", simple))
    assert outside == {"http://www.w3.org/2000/svg"}, "the name of a kind of element, no address"
    assert "@import" not in simple
    assert "url(" not in simple


def test_the_policy_lets_this_script_and_this_style_run_and_nothing_else(simple: str) -> None:
    document = Document(simple)
    rules = dict(rule.strip().split(" ", 1) for rule in document.policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for rule, content in (
        ("script-src", document.raw["script"][-1]),
        ("style-src", document.raw["style"][0]),
    ):
        checksum = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{checksum}'"
    first = next(i for i, (_, attributes) in enumerate(document.tags) if "http-equiv" in attributes)
    assert not {"script", "style"} & {tag for tag, _ in document.tags[:first]}, "it comes first"


def test_scripts_write_text_and_no_markup() -> None:
    files = {file.stem for file in (FOLDER / "script").glob("*.js")}
    assert files == set(SCRIPTS), "each piece is in the page"
    source = "".join((FOLDER / "script" / f"{name}.js").read_text() for name in SCRIPTS)
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
    assert not re.search(ways + r"|fetch\(|XMLHttpRequest|import\(|WebSocket|localStorage", source)
    assert "</" not in source
    assert "<!--" not in source


def test_hostile_texts_are_text(tmp_path: Path) -> None:
    records = hostile(tmp_path)
    table = Table(HOSTILE[0], [words(text, lambda row: row) for text in HOSTILE], [HOSTILE[1]])
    chapters = [
        Chapter(group(records, text, description=text), tables=[table], facts=HOSTILE)
        for text in HOSTILE[:2]
    ]
    html = page(HOSTILE[0], chapters, HOSTILE)
    document = Document(html)
    assert {tag for tag, _ in document.tags} <= {
        "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "h2", "h3",
        "button", "main", "noscript", "div", "section", "details", "summary", "table", "thead",
        "tbody", "tr", "th", "td", "ul", "li", "code", "dialog", "script",
    }  # fmt: skip
    assert sum(tag == "script" for tag, _ in document.tags) == 2
    assert all(c.isprintable() or c == "\n" for c in html)
    shown = [text.strip() for text in document.texts]
    for text in HOSTILE:
        assert one_line(text).strip("`") in shown, "in a note, and as a column's header"
    embedded = data_of(html)
    runs = embedded["groups"][0]["runs"]
    for text, run in zip(HOSTILE, runs, strict=True):
        assert run["path"] == f"rte/tiny/{lines(text).replace('/', '∕')}/s0"
        assert (
            embedded["pool"][run["command"]] == embedded["pool"][run["remarks"][0]] == lines(text)
        )
        assert run.get("message", lines(text)) == run.get("log", lines(text)) == lines(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_data_ends_nothing_that_it_stands_in(value: Any) -> None:
    shown = data(value)
    assert not set("<>&") & set(shown)
    assert shown.isprintable()
    assert data(json.loads(shown)) == shown


def test_data_is_what_it_was() -> None:
    value = {"a": [1, 0.123456789, None, True, "x<y"], "b": float("nan"), "c": 2**53}
    plain = {"a": [1, 0.12345679, None, True, "x<y"], "b": None, "c": 2**53}
    assert json.loads(data(value)) == plain


def test_code_in_sentences() -> None:
    assert prose("run `a <b>` now & `` c`d ``") == (
        "run <code>a &lt;b&gt;</code> now &amp; <code>c`d</code>"
    )


def test_colours_are_those_of_the_figures(simple: str) -> None:
    style = "".join(Document(simple).raw["style"])
    for theme in (LIGHT, DARK):
        wanted = [theme.background, theme.text, theme.good, theme.bad, *theme.methods]
        wanted += [theme.category(part) for part in SPLIT]
        assert all(color in style for color in wanted)
    assert style.count(DARK.background) == 2, "for the system's choice and the reader's"


def test_tables_mark_the_best_and_fold_under_their_titles() -> None:
    column = number("peak", lambda size: size, str, "peak (B)").which_is("less")
    html = page("x", [Chapter([forecast("t4")], tables=[Table("a <b>", [column], [3, 1, 2])])])
    assert "<summary>a &lt;b&gt;</summary>" in html
    assert '<td>3</td></tr><tr><td class="best">1</td></tr><tr><td class="second">2' in html
    assert "<summary>All tables (1)</summary>" in html


def test_long_tables_say_what_they_leave_out() -> None:
    table = Table("t", [words("n", lambda row: str(row))], range(300), ["a note"])
    entries = [forecast("t4")]
    html = page("x", [Chapter(entries, tables=[table])])
    assert html.count("<tr>") == 201
    assert "The first 200 of 300 rows." in html


def test_figures_stand_in_the_page_in_both_modes(tmp_path: Path) -> None:
    picture = Picture("a <b>", "of `x`", {"light": b"sun", "dark": b"moon"})
    records = sized(tmp_path, {"full": 3}, [0.9])
    document = Document(page("x", [Chapter(group(records), pictures=[picture])]))
    shown = [attributes for tag, attributes in document.tags if tag == "img"]
    assert [(each["class"], each["alt"]) for each in shown] == [
        ("light", "a <b>"),
        ("dark", "a <b>"),
    ]
    files = [base64.b64decode((each["src"] or "").partition(",")[2]) for each in shown]
    assert files == [b"sun", b"moon"]


def test_a_report_with_many_figures_keeps_the_first_in_its_page(tmp_path: Path) -> None:
    made = section_of(group(sized(tmp_path, {"full": 3, "lora": 2}, [0.9, 0.8])))
    figures = [Figure(f"f{i}", f"figure {i}", "", str) for i in range(9)]
    drawings = {each.file(mode): b"x" * 100_000 for each in figures for mode in MODES}
    html = as_page(Report([replace(made, figures=figures)]), drawings)
    shown = {attributes["alt"] for tag, attributes in Document(html).tags if tag == "img"}
    assert shown == {f"figure {i}" for i in range(MOST_BYTES // 200_000)}
    assert f"{9 - len(shown)} figures are not in this page" in html
    assert len(html) < 2_000_000


def test_an_overridden_suite_is_not_described_as_its_file(tmp_path: Path) -> None:
    records = sized(tmp_path, {"full": 300, "lora": 200}, [0.9, 0.8])
    asked = Invocation(command="headroom run x.yaml train.epochs=9", overrides=["train.epochs=9"])
    records = [each.model_copy(update={"invocation": asked}) for each in records]
    whole = replace(group(records), suite={"name": "x", "description": "Two epochs."})
    told = as_page(Report([section_of(whole)]))
    assert "The suite's file says: Two epochs. Overrides changed it." in told.replace("&#x27;", "'")
