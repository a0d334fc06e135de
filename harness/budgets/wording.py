"""A verdict in words, for a terminal and a log: a cell that is not simply within in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from harness.budgets.compare import Finding, Verdict, counted
from harness.budgets.file import OUTSIDE
from harness.budgets.judging import Judged
from harness.budgets.times import Kind as TimeKind
from harness.budgets.times import TimeFinding
from harness.comparing.moves import Shift
from harness.units import in_bytes, milliseconds, moved, moved_share

NAMED = 8  # cells whose move with other versions is told each


def told(found: Judged, accept: str, strict: bool = False) -> Iterator[str]:
    """Yield all that is said of a check, line by line; `accept` is the command that accepts it."""
    yield from of_versions(found)
    yield from lines(found.verdict)
    if found.verdict.kinds - {"within"} or found.drifts:
        yield f"to accept: {accept}"


def of_versions(found: Judged) -> Iterator[str]:
    """Yield which versions are others than the file's, and what they alone move."""
    if not found.versions:
        return
    for named in dict.fromkeys(tuple(each) for each in found.versions.values()):
        moves = (f"{name} {then} (file) -> {now} (here)" for name, then, now in named)
        yield f"versions: {', '.join(moves)}"
    base = found.base
    if base is None:
        if not found.verdict.kinds & {"unjudged"}:
            yield "they move nothing beyond the tolerance: the file judges"
        return
    yield f"judged against {base.commit[:12]} with them: {base.why}"
    if base.figures is None:
        return
    cells = len(found.verdict.findings)
    yield f"they alone move {len(found.drifts) or 'none'} of {cells} cells"
    for drift in found.drifts[:NAMED]:
        yield f"VERSIONS  {drift.spot.path}"
        yield from (f"  {line}" for line in details(drift))
    if len(found.drifts) > NAMED:
        yield f"... and {len(found.drifts) - NAMED} more"


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a block for every cell that is not simply within, and the sum of all."""
    for finding in verdict.findings:
        if finding.kind != "within":
            yield f"{finding.kind.upper()}  {finding.spot.path}"
            yield from (f"  {line}" for line in details(finding))
    for one in verdict.times:
        if one.kind != "within":
            yield f"{one.kind.upper()}  {one.spot.path}"
            yield f"  {one.spot.card}: {time_moved(one)}"
    yield summary(verdict)
    if verdict.times:
        kinds = Counter(one.kind for one in verdict.times)
        yield f"step times: {', '.join(f'{kinds[kind]} {kind}' for kind in get_args(TimeKind))}"


def summary(verdict: Verdict) -> str:
    """Return how many cells there are of every kind; kinds that are seldom, where there are any."""
    seldom = ("changed", "unjudged")
    counts = [f"{count} {kind}" for kind, count in counted(verdict.findings).items()
              if count or kind not in seldom]  # fmt: skip
    held = ", ".join(f"{name} {100 * share:g} %" for name, share in verdict.tolerance.items())
    return f"{', '.join(counts)}; tolerance: {held}"


def details(finding: Finding) -> Iterator[str]:
    """Yield what is to be known of a finding, the figures first."""
    card, figure = finding.spot.card, finding.figure
    if figure is None:
        yield f"{card}: {finding.reason}"
        return
    if finding.kind == "new":
        yield f"{card}: peak {in_bytes(figure.peak)}, no budget yet"
        return
    if finding.kind == "changed":
        what = ", ".join(finding.changes) or "its key alone: a default, or the method's revision"
        yield f"this cell changed: {what}"
    metrics = finding.moved or ("peak",)
    for metric in dict.fromkeys(metrics):
        shift = finding.shift(metric)
        if shift is not None:
            yield f"{card}: {size_moved(metric, shift)}"
    if finding.kind == "unjudged":
        yield f"no verdict: {finding.reason}"
    yield from culprit(finding)


def size_moved(metric: str, shift: Shift) -> str:
    """Say a metric, its budget and the difference."""
    share = moved_share(shift.share) if shift.share is not None else "from nothing"
    now, before = in_bytes(shift.after), in_bytes(shift.before)
    return f"{metric} {now}, budget {before}: {moved(shift.moved)} ({share})"


def culprit(finding: Finding) -> Iterator[str]:
    """Yield what moved most, if something did that is listed."""
    place, peak = finding.place, finding.shift("peak")
    if place is None or peak is None or not finding.moved:
        return
    (category, module), size = (place[0].category, place[0].module), place[1]
    what = category or "all"
    verb = "fell" if size < 0 else "grew"
    yield f"{what} of {module or OUTSIDE} {verb} most: {moved(size)}"


def time_moved(one: TimeFinding) -> str:
    """Say a step time, its budget, and what the two may differ by."""
    if one.step is None:
        return "no step time"
    if one.budget is None:
        return f"step {milliseconds(one.step.seconds)} ms, no budget yet"
    return (
        f"step {milliseconds(one.step.seconds)} ms, budget {milliseconds(one.budget.seconds)} ms "
        f"({100 * one.change:+.1f} %, may move by {100 * one.bar:.0f} %)"
    )
