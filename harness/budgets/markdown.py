"""A verdict as Markdown, for a pull request's summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.budgets.compare import Finding
from harness.budgets.file import OUTSIDE
from harness.budgets.judging import Judged
from harness.budgets.wording import of_versions, summary, time_moved
from harness.printed import one_line
from harness.reporting.inline import cell, code, prose
from harness.units import in_bytes, moved, moved_share

HEAD = ("| cell | card | verdict | now | budget | change | what moved most |",
        "|---|---|---|---:|---:|---:|---|")  # fmt: skip


def markdown(found: Judged, budget: str, accept: str) -> str:
    """Return a section: the verdict, tables of what moved, and the command that accepts it."""
    verdict = found.verdict
    text = [f"## Memory budget {code(budget)}", "", prose(summary(verdict)), ""]
    head = [line for line in of_versions(found) if not line.startswith(("VERSIONS", " ", "..."))]
    text += [*(f"- {prose(line)}" for line in head), ""] if head else []
    text += _table([one for one in verdict.findings if one.kind != "within"])
    if found.drifts:
        text += ["What the versions alone move:", "", *_table(found.drifts, "versions")]
    times = [one for one in verdict.times if one.kind != "within"]
    if times:
        text += ["| cell | card | step time | |", "|---|---|---|---|"]
        text += [f"| {_code(one.spot.path)} | {cell(one.spot.card)} | {one.kind} | "
                 f"{cell(time_moved(one))} |" for one in times]  # fmt: skip
        text.append("")
    if verdict.kinds - {"within"} or found.drifts:
        text += ["To accept it:", "", f"    {one_line(accept)}", ""]
    return "\n".join(text) + "\n"


def _table(findings: Sequence[Finding], kind: str = "") -> list[str]:
    return [*HEAD, *(_row(one, kind) for one in findings), ""] if findings else []


def _row(finding: Finding, kind: str) -> str:
    peak = finding.shift("peak")
    now = finding.figure.peak if finding.figure else None
    budget = finding.allowed.peak if finding.allowed else None
    change = f"{moved(peak.moved)} ({moved_share(peak.share)})" if peak else "-"
    cells = [
        _code(finding.spot.path),
        cell(finding.spot.card),
        kind or finding.kind,
        in_bytes(now),
        in_bytes(budget),
        change,
        cell("; ".join(_what(finding))),
    ]
    return f"| {' | '.join(cells)} |"


def _what(finding: Finding) -> Iterator[str]:
    yield from finding.changes
    if finding.reason:
        yield finding.reason
    others = [metric for metric in finding.moved if metric != "peak"]
    for metric in others:
        shift = finding.shift(metric)
        if shift is not None:
            yield f"{metric} {moved(shift.moved)}"
    if finding.place is not None and finding.moved:
        place, size = finding.place
        yield f"{place.category or 'all'} of {place.module or OUTSIDE} {moved(size)}"


def _code(text: str) -> str:
    """Return free text as a code span inside of a table."""
    return code(text).replace("|", "\\|")
