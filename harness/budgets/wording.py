"""A verdict in words: lines for a log, Markdown for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from harness.budgets.compare import Finding, Verdict
from harness.budgets.times import Kind as TimeKind
from harness.budgets.times import TimeFinding
from harness.units import mib, milliseconds


def lines(verdict: Verdict, update: str) -> Iterator[str]:
    """Yield one line per cell that is not simply within, and the sum of all."""
    for finding in verdict.findings:
        if finding.kind in {"over", "win"}:
            yield f"{finding.kind.upper()}  {finding.path}: {_moved(finding)}"
        elif finding.kind == "missing":
            yield f"MISSING  {finding.path}: {finding.reason}"
        elif finding.kind == "new":
            yield f"NEW  {finding.path}: {mib(finding.peak)} MiB, no budget yet"
    counts = ", ".join(
        f"{len(verdict.of(kind))} {kind}" for kind in ("within", "over", "win", "missing", "new")
    )
    yield f"{counts}; tolerance {100 * verdict.tolerance:g} %"
    yield from _times(verdict.times)
    kinds = verdict.kinds
    if kinds - {"within"}:
        yield f"to accept: {update}"


def _times(times: Sequence[TimeFinding]) -> Iterator[str]:
    """Yield one line per step time that is not simply within, and the sum of all."""
    for one in times:
        if one.kind != "within":
            yield f"{one.kind.upper()}  {one.path}: {time_moved(one)}"
    if times:
        kinds = Counter(one.kind for one in times)
        yield f"step times: {', '.join(f'{kinds[kind]} {kind}' for kind in get_args(TimeKind))}"


def time_moved(one: TimeFinding) -> str:
    """Say a step time, its budget, and what the two may differ by."""
    if one.step is None:
        return "no step time is forecast"
    if one.budget is None:
        return f"step {milliseconds(one.step.seconds)} ms, no budget yet"
    return (
        f"step {milliseconds(one.step.seconds)} ms, budget {milliseconds(one.budget.seconds)} ms "
        f"({100 * one.change:+.1f} %, may move by {100 * one.bar:.0f} %)"
    )


def _moved(finding: Finding) -> str:
    assert finding.peak is not None
    assert finding.budget is not None
    change = finding.peak - finding.budget
    share = f"{100 * change / finding.budget:+.2f} %" if finding.budget else "from nothing"
    verb = "fell" if change < 0 else "grew"
    return (
        f"peak {mib(finding.peak)} MiB, budget {mib(finding.budget)} MiB, {change:+,} B ({share}); "
        f"{finding.category} {verb} most ({finding.category_growth:+,} B), "
        f"in {finding.module or '(outside of modules)'} ({finding.module_growth:+,} B)"
    )


def markdown(verdict: Verdict, budget: str) -> str:
    """Return a section with a table of what moved."""
    counts = f"{len(verdict.of('over'))} over, {len(verdict.of('within'))} within"
    text = [f"## Memory budget `{budget}`: {counts}", ""]
    moved = [f for f in verdict.findings if f.kind != "within"]
    if moved:
        text += ["| cell | verdict | MiB | budget | where |", "|---|---|---:|---:|---|"]
        text += [
            f"| `{f.path}` | {f.kind} | {mib(f.peak)} | {mib(f.budget)} | "
            f"{f.category} {f.module or f.reason} |"
            for f in moved
        ]
    slower = [one for one in verdict.times if one.kind != "within"]
    if slower:
        text += ["", "| cell | step time | |", "|---|---|---|"]
        text += [f"| `{one.path}` | {one.kind} | {time_moved(one)} |" for one in slower]
    return "\n".join(text) + "\n\n"
