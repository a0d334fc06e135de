"""A verdict in words: lines for a log, Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from harness.budgets.compare import Finding, Verdict
from harness.units import mib


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
    if len(verdict.of("within")) < len(verdict.findings):
        yield f"to accept: {update}"


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
    return "\n".join(text) + "\n\n"
