"""A verdict for machines and for pull requests: JUnit's XML, Markdown, narrow terminals."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from budgeted import figure, figures, invoke, made, peaks, spot, written

from harness.budgets.compare import compare
from harness.budgets.drift import Base, allowances
from harness.budgets.judging import Judged
from harness.budgets.junit import junit_text
from harness.budgets.markdown import markdown
from harness.budgets.wording import told
from harness.comparing.sides import Place

# What readers of JUnit's XML (Jenkins' schema, and Ant's) want: element -> required attributes,
# optional ones, and the elements inside in their order.
SHAPE: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": ({"name"}, {"tests", "failures", "errors", "skipped", "time"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "timestamp", "hostname"},
        {"skipped"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "testcase": ({"name", "classname", "time"}, set(), ["skipped", "error", "failure"]),
    "failure": ({"type", "message"}, set(), []),
    "error": ({"type", "message"}, set(), []),
    "skipped": (set(), {"type", "message"}, []),
    "system-out": (set(), set(), []),
}


def hold_shape(element: Xml.Element) -> None:
    required, optional, inside = SHAPE[element.tag]
    assert required <= set(element.attrib) <= required | optional, element.tag
    order = [inside.index(child.tag) for child in element]
    assert order == sorted(order)
    for child in element:
        hold_shape(child)


def verdict_of_all_kinds() -> Judged:
    old = made(peaks(within=1000, over=1000, win=1000, gone=1000, other=1000))
    cells = {
        "within": figure(1000), "over": figure(2**21), "win": figure(500), "fresh": figure(3),
        "other": figure(1000, key="another", settings={"train.lr": 0.1}),
    }  # fmt: skip
    return Judged(compare(old, figures(cells)), {})


@pytest.mark.parametrize(
    ("options", "failures", "skipped"), [({}, 1, 2), ({"ratchet": True, "strict": True}, 4, 0)]
)
def test_junit_has_a_case_per_cell_and_card(
    options: dict[str, bool], failures: int, skipped: int
) -> None:
    found = verdict_of_all_kinds()
    top = Xml.fromstring(junit_text(found, "b.yaml", **options).encode())
    hold_shape(top)
    [suite] = top
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 6, "failures": failures, "errors": 1, "skipped": skipped}
    assert counts["tests"] == len(suite.findall("testcase"))
    cases = {case.attrib["name"]: case for case in suite.findall("testcase")}
    over = cases["over[l4]"].find("failure")
    assert over is not None
    assert over.attrib["type"] == "over"
    assert over.attrib["message"] == (
        "over: l4: peak 2.0 MiB, budget 1,000 B: +2.0 MiB (+209615.20 %); "
        "activations of layer.* grew most: +2.0 MiB"
    )
    gone = cases["gone[l4]"].find("error")
    assert gone is not None
    assert gone.attrib["message"] == "missing: l4: the source has no such cell"
    assert len(cases["within[l4]"]) == 0


def test_junit_holds_whatever_names_are() -> None:
    name = "a<&>\"'\x1b[31m\x00\n]]>"
    found = Judged(compare(made(peaks(x=1)), figures({"x": figure(1), name: figure(2)})), {})
    top = Xml.fromstring(junit_text(found, "b\x01.yaml").encode())
    hold_shape(top)
    assert [case.attrib["name"][:6] for case in top.iter("testcase")] == ["x[l4]", "a<&>\"'"]


def test_a_step_that_is_slower_fails_its_cell() -> None:
    from harness.budgets.times import StepBudget

    steps = (StepBudget(seconds=seconds, bar=0.05) for seconds in (0.1, 0.2))
    before, now = (figures({"a": figure(1000, step)}) for step in steps)
    top = Xml.fromstring(junit_text(Judged(compare(made(before), now), {}), "b.yaml").encode())
    [failure] = top.iter("failure")
    assert failure.attrib["message"].startswith("slower: ")
    assert "step 200 ms, budget 100 ms" in failure.attrib["message"]


def test_the_command_writes_it_also_where_a_cell_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr("harness.budgets.judging.figures_of", lambda *_: peaks(a=2000))
    file = tmp_path / "budget.yaml"
    written(file, peaks(a=1000))
    check: tuple[Any, ...] = ("check", "suite.yaml", "--budget", file)
    assert invoke(*check, "--junit", tmp_path / "made" / "junit.xml")[0] == 1
    assert (tmp_path / "made" / "junit.xml").read_text().startswith("<?xml")
    assert invoke(*check, "--junit", tmp_path)[0] == 2
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert invoke(*check)[0] == 1
    text = (tmp_path / "summary.md").read_text()
    assert "| `a` | l4 | over | 2,000 B | 1,000 B | +1,000 B (+100.00 %) |" in text
    assert f"    headroom budget update suite.yaml --budget {file}" in text


def test_markdown_of_versions_has_a_table_of_its_own() -> None:
    old = made(peaks(a=1000, b=1000))
    base = Base("c0ffee" * 4, "because", peaks(a=1300, b=1000), old)
    allowed = allowances(old, base)
    now = peaks(a=1300, b=1100)
    versions = {"l4": [("transformers", "5.23.0", "5.24.0")]}
    drift = [compare(old, peaks(a=1300)).findings[0]]
    found = Judged(compare(old, now, allowed=allowed), versions, base, drift)
    text = markdown(found, "b.yaml", "accept it")
    assert "- versions: transformers 5.23.0 (file) -> 5.24.0 (here)" in text
    assert "| `a` | l4 | versions | 1,300 B | 1,000 B | +300 B (+30.00 %) |" in text
    assert "| `b` | l4 | over | 1,100 B | 1,000 B | +100 B (+10.00 %) |" in text
    assert text.rstrip().endswith("    accept it")


def test_free_text_in_markdown_stays_text() -> None:
    name = "a|b`c/<img>"
    found = Judged(compare(made(peaks(x=1)), figures({"x": figure(1), name: figure(2)})), {})
    row = next(line for line in markdown(found, "b.yaml", "x").splitlines() if "img" in line)
    assert row.startswith("| `` a\\|b`c/<img> `` | l4 | new |")


def test_usual_lines_are_no_wider_than_a_narrow_terminal() -> None:
    place = Place("activations", "roberta.encoder.layer.*.attention.self")
    before = figure(6_194_541_056, places={place: 10**9})
    grown = figure(6_195_789_824, places={place: 10**9 + 2**21})
    path = "classification-128/bert-large-uncased/lora-r8-qv-layersupper-half/s0"
    old = made(figures({path: before}), peak=1e-5)
    lines = list(told(Judged(compare(old, figures({path: grown})), {}), ""))
    assert lines[:3] == [
        f"OVER  {path}",
        "  l4: peak 5,908.8 MiB, budget 5,907.6 MiB: +1.2 MiB (+0.02 %)",
        "  activations of roberta.encoder.layer.*.attention.self grew most: +2.0 MiB",
    ]
    assert max(map(len, lines)) <= 80
    assert spot(path) in compare(old, figures({path: grown})).failing()
