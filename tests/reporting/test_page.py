"""The HTML page, as a document: what is in it, what cannot be in it, and how large it is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, data_of, group, hostile, many, memory, renamed, sized
from records import eight_cells, record

from harness.forecasting.result import Forecast
from harness.printed import lines, one_line
from harness.reporting.as_page import MOST_BYTES, as_page
from harness.reporting.columns import Table, number, words
from harness.reporting.comparison import SPLIT, compare_methods
from harness.reporting.figures.figure import MODES, Figure
from harness.reporting.figures.theme import DARK, LIGHT, looks
from harness.reporting.page import page as page_module
from harness.reporting.page.chapter import Chapter, Picture
from harness.reporting.page.embedding import data, prose
from harness.reporting.page.page import SCRIPTS, page
from harness.reporting.sections import Report, section_of
from harness.simulation.step_forecast import Need
from harness.units import MIB

FOLDER = Path(page_module.__file__).parent


class Document(HTMLParser):
    """Elements with their attributes, and the text of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        self.raw[last].append(data) if last in self.raw and data.strip() else None
        self.texts.append(data)

    @property
    def policy(self) -> str:
        return next(a["content"] or "" for _, a in self.tags if "http-equiv" in a)


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
    value = {"a": [1, 0.1234567, None, True, "x<y"], "b": float("nan"), "c": 2**53}
    plain = {"a": [1, 0.123457, None, True, "x<y"], "b": None, "c": 2**53}
    assert json.loads(data(value)) == plain


def test_code_in_sentences() -> None:
    assert prose("run `a <b>` now & `` c`d ``") == (
        "run <code>a &lt;b&gt;</code> now &amp; <code>c`d</code>"
    )


def test_rows_are_those_of_the_comparison(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)
    records = [record(cell, 0.5 + i / 100, memory=memory(2**21 + i, 2**20))
               for i, cell in enumerate(cells)]  # fmt: skip
    embedded = data_of(page("a report", [Chapter(group(records, baseline="lora-r8"))]))
    made = embedded["groups"][0]
    assert [view["name"] for view in made["views"]] == ["all tasks", "acceptability", "rte"]
    for view, chosen in zip(
        made["views"],
        [records, *([r for r in records if r.task == t] for t in ("acceptability", "rte"))],
        strict=True,
    ):
        rows = compare_methods(chosen, "lora-r8").rows
        for ours, theirs in zip(view["rows"], rows, strict=True):
            assert (ours["method"], ours["peak"]) == (theirs.method, theirs.peak)
            assert ours["adapter"] == theirs.adapter
            one = theirs.scores[next(iter(theirs.scores))]
            value = theirs.average if view["name"] == "all tasks" else one.mean
            assert ours["score"] == pytest.approx(value, rel=1e-5)
            assert sum(ours["split"]) == ours["peak"]
            named = dict(zip(embedded["parts"], ours["split"], strict=True))
            assert {name: named[name] for name in SPLIT} == theirs.split
            assert ours["runs"] == len([r for r in chosen if r.method == theirs.method])
            assert ours["last"] == theirs.last == 2**20
    assert made["baseline"] == "lora-r8"
    assert len(made["runs"]) == len(records)


def test_a_run_says_what_was_alive_at_its_peak(tmp_path: Path) -> None:
    one = record(eight_cells(tmp_path)[0], 0.5, memory=memory(2**20, 2**21, 2**19))
    embedded = data_of(page("a report", [Chapter(group([one]))]))
    run = embedded["groups"][0]["runs"][0]
    highest = one.memory and one.memory.phases[1]
    assert highest
    told = [
        {"category": embedded["pool"][c], "path": embedded["pool"][p], "op": embedded["pool"][o],
         "num_bytes": size, "num_blocks": blocks}
        for c, p, o, size, blocks in run["holders"]
    ]  # fmt: skip
    assert told == highest.holders
    assert sum(run["split"]) == run["peak"] == 2**21
    assert [phase[4] for phase in run["phases"]] == [2**20, 2**21, 2**19]


def test_of_many_phases_the_first_last_and_highest_stay(tmp_path: Path) -> None:
    peaks = [1000 + i for i in range(200)]
    peaks[77] = 9999
    one = record(eight_cells(tmp_path)[0], 0.5, memory=memory(*peaks))
    run = data_of(page("a report", [Chapter(group([one]))]))["groups"][0]["runs"][0]
    phases = run["phases"]
    assert run["phases_of"] == 200
    assert len(phases) <= 61
    assert {phases[0][4], phases[-1][4]} == {1000, 1199}
    assert 9999 in [phase[4] for phase in phases]
    assert sum(phase[1] for phase in phases) == run["total"] == 2000, "each until the next"


@pytest.mark.parametrize(("methods", "tasks", "seeds"), [(50, 8, 5), (2000, 1, 1)])
def test_two_thousand_records_are_less_than_5_mb(
    tmp_path: Path, methods: int, tasks: int, seeds: int
) -> None:
    html = page("a report", [Chapter(group(many(tmp_path, methods, tasks, seeds)))])
    embedded = data_of(html)
    assert len(embedded["groups"][0]["runs"]) == 2000
    assert all(len(run["holders"]) == 12 for run in embedded["groups"][0]["runs"])
    assert len(html.encode()) < 5_000_000


def test_nothing_that_failed_is_hidden(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)
    outcomes = ["ok", "oom", "crashed", "diverged", "interrupted", "ok", "ok", "ok"]
    records = [
        record(cell, 0.5) if outcome == "ok"
        else record(cell, 0.5, outcome=outcome, memory=None, time=None, main_score=None,
                    averaged_score=None, message=f"why {outcome}", log_tail="x" * 9000)
        for cell, outcome in zip(cells, outcomes, strict=True)
    ]  # fmt: skip
    made = data_of(page("a report", [Chapter(group(records))]))["groups"][0]
    assert [run.get("outcome", "ok") for run in made["runs"]] == outcomes
    assert all(
        f"why {run['outcome']}" == run["message"] for run in made["runs"] if "outcome" in run
    )
    assert made["runs"][1]["log"].startswith("(the last 4,000 of 9,000 characters)")
    failed = sum(sum(row.get("failed", {}).values()) for row in made["views"][0]["rows"])
    assert failed == 4
    only = data_of(page("a report", [Chapter(group(records[1:4]))]))["groups"][0]
    assert all("peak" not in row for row in only["views"][0]["rows"])


def test_old_records_have_a_page(tmp_path: Path) -> None:
    one = record(eight_cells(tmp_path)[0], 0.5)
    bare = renamed(one, "rte/tiny/full/s0", memory=None, flops=None, time=None, parameters=None,
                   invocation=None, provenance=None, data=None, cell={})  # fmt: skip
    made = data_of(page("a report", [Chapter(group([bare]))]))["groups"][0]
    assert made["runs"][0]["path"] == "rte/tiny/full/s0"


def forecast(gpu: str, **rest: Any) -> Forecast:
    filled: dict[str, Any] = {
        "cell": "rte/tiny/lora/s0", "method": "lora", "model": "tiny", "task": "rte", "gpu": gpu,
        "stage": "training", "steps": [(8, 128)], "peak_allocated": 100 * MIB,
        "needs": {"training": Need(allocated=100 * MIB, reserved=120 * MIB, expandable=1),
                  "evaluation": Need(allocated=1, reserved=130 * MIB, expandable=1)},
        "split": {"weights.base": 60 * MIB, "unsplit": MIB}, "modules": {"encoder": 60 * MIB},
        "fits": "fits", "margin": MIB, "decides": "training",
    }  # fmt: skip
    return Forecast.model_validate(filled | rest)


def test_forecasts_have_a_page(tmp_path: Path) -> None:
    entries = [forecast("a6000"), forecast("t4", fits="does not fit", margin=-MIB),
               forecast("t4", cell="rte/tiny/frod/s0", method="frod", peak_allocated=None, needs={},
                        split={}, fits=None, margin=None, error="it <cannot>")]  # fmt: skip
    embedded = data_of(page("forecasts", [Chapter(entries, name="shapes")]))
    made = embedded["groups"][0]
    good, bad = made["views"][0]["rows"]
    assert made["gpus"] == ["a6000", "t4"]
    assert good["need"] == 130 * MIB, "the most of its activities"
    assert {gpu: verdict for gpu, (verdict, _) in good["verdicts"].items()} == {
        "a6000": "fits", "t4": "does not fit",
    }  # fmt: skip
    parts = dict(zip(embedded["parts"], good["split"], strict=True))
    assert parts["weights"] == 60 * MIB
    assert parts["activations"] == MIB, "what the allocator did not split, as in the tables"
    assert parts["not split"] == 39 * MIB
    assert bad["failed"] == {"error": 1}
    assert made["runs"][1]["message"] == "it <cannot>"


def test_what_tells_the_rows_of_a_forecast_apart_is_in_their_names() -> None:
    def names(*entries: Forecast) -> list[str]:
        made = data_of(page("forecasts", [Chapter(entries)]))["groups"][0]
        return [row["method"] for row in made["views"][0]["rows"]]

    stages = [forecast("t4", stage=stage, peak_allocated=size * MIB)
              for stage, size in (("warm-up", 100), ("50 % frozen", 70))]  # fmt: skip
    assert names(*stages) == ["lora, warm-up", "lora, 50 % frozen"]
    assert names(forecast("t4"), forecast("a6000")) == ["lora"], "one step for both"
    cards = [forecast("t4"), forecast("a6000"), forecast("h100", peak_allocated=MIB)]
    assert names(*cards) == ["lora (t4/a6000)", "lora (h100)"], "its kernels are others"
    grid = [forecast("t4", cell=f"rte/tiny/lora/batch={size}/s{size}") for size in (1, 2)]
    assert names(*grid) == ["lora batch=1 s1", "lora batch=2 s2"]


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


def test_a_group_has_the_looks_of_its_figures(tmp_path: Path) -> None:
    one, two = sized(tmp_path, {"b": 1, "a": 2}, [0.1, 0.2]), sized(tmp_path, {"c": 3}, [0.3])
    made = data_of(page("x", [Chapter(group(one)), Chapter(group(two))]))["groups"]
    for each in made:
        wanted = looks(each["methods"], "light")
        assert dict(zip(each["methods"], each["marks"], strict=True)) == {
            name: look.marker for name, look in wanted.items()
        }


def test_a_task_says_which_way_is_better(tmp_path: Path) -> None:
    records = sized(tmp_path, {"full": 3, "lora": 2}, [4.5, 5.5])
    errors = [renamed(r, r.path, main_metric="perplexity") for r in records]
    own = [renamed(r, r.path, main_metric="mine:loss", lowest=True) for r in records]
    for chosen, lower in ((records, False), (errors, True), (own, True)):
        [task] = data_of(page("x", [Chapter(group(chosen))]))["groups"][0]["tasks"]
        assert task["lower"] is lower
        assert task["fraction"] is (chosen is records)


def test_a_report_with_many_figures_keeps_the_first_in_its_page(tmp_path: Path) -> None:
    made = section_of(group(sized(tmp_path, {"full": 3, "lora": 2}, [0.9, 0.8])))
    figures = [Figure(f"f{i}", f"figure {i}", "", str) for i in range(9)]
    drawings = {each.file(mode): b"x" * 100_000 for each in figures for mode in MODES}
    html = as_page(Report([replace(made, figures=figures)]), drawings)
    shown = {attributes["alt"] for tag, attributes in Document(html).tags if tag == "img"}
    assert shown == {f"figure {i}" for i in range(MOST_BYTES // 200_000)}
    assert f"{9 - len(shown)} figures are not in this page" in html
    assert len(html) < 2_000_000
