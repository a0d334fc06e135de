"""A verdict as JUnit's XML: a test case per cell and card, for whatever shows tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from harness.budgets.compare import Finding
from harness.budgets.judging import Judged
from harness.budgets.spot import Spot
from harness.budgets.times import TimeFinding
from harness.budgets.wording import details, of_versions, summary, time_moved

SUITE = "headroom budget"
# What XML 1.0 has no character for.
NO_TEXT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WITHOUT = ("missing", "unjudged")  # kinds that are an error: there is nothing to compare


def junit_text(found: Judged, budget: str, ratchet: bool = False, strict: bool = False) -> str:
    """Return the document.

    Args:
        found: the check.
        budget: name of the budget file: the test cases' class.
        ratchet: wins fail, too.
        strict: new and changed cells fail, too.
    """
    verdict = found.verdict
    failing = verdict.failing(ratchet, strict)
    times = {one.spot: one for one in verdict.times if one.kind != "within"}
    cases = [
        _case(finding, times.get(finding.spot), budget, finding.spot in failing)
        for finding in verdict.findings
    ]
    counts = {
        "tests": len(cases),
        "failures": _count(cases, "failure"),
        "errors": _count(cases, "error"),
        "skipped": _count(cases, "skipped"),
    }
    top = Xml.Element("testsuites", {"name": SUITE, **_texts(counts)})
    suite = Xml.SubElement(top, "testsuite", {
        "name": _plain(budget), **_texts(counts), "time": "0",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "hostname": "localhost",
    })  # fmt: skip
    suite.extend(cases)
    Xml.SubElement(suite, "system-out").text = _plain(
        "\n".join([*of_versions(found), summary(verdict)])
    )
    Xml.indent(top)
    return Xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _case(finding: Finding, time: TimeFinding | None, budget: str, fails: bool) -> Xml.Element:
    names = {"classname": budget, "name": _name(finding.spot), "time": "0"}
    case = Xml.Element("testcase", {key: _plain(text) for key, text in names.items()})
    kinds = [finding.kind, *([time.kind] if time else [])]
    told = [*details(finding), *([time_moved(time)] if time else [])]
    if fails:
        tag = "error" if finding.kind in WITHOUT else "failure"
        message = f"{', '.join(kind for kind in kinds if kind != 'within')}: {'; '.join(told)}"
        inside = Xml.SubElement(case, tag, {"message": _plain(message), "type": kinds[0]})
        inside.text = _plain("\n".join(told))
    elif finding.kind in ("new", "changed"):
        Xml.SubElement(case, "skipped", {"message": _plain("; ".join(told))})
    return case


def _name(spot: Spot) -> str:
    return f"{spot.path}[{spot.card}]"


def _texts(counts: dict[str, int]) -> dict[str, str]:
    return {name: str(count) for name, count in counts.items()}


def _count(cases: Iterable[Xml.Element], tag: str) -> int:
    return sum(case.find(tag) is not None for case in cases)


def _plain(text: str) -> str:
    return NO_TEXT.sub("?", text)
