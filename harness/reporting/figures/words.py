"""Words in and under figures: free text on one line, and what the figures were measured with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.env import MEMORY_PACKAGES
from harness.printed import one_line
from harness.record import MARKS, Record
from harness.reporting.comparison import IMAGE
from harness.units import GIB, MIB

NAMED = 3  # values or names that a caption gives before it says "and so many more"


def shown(text: str, limit: int = 40) -> str:
    """Return free text on one line; of what is too long, beginning and end."""
    text = one_line(text)
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 1]}…{text[-end:]}"


def unit_of(largest: float) -> tuple[int, str]:
    """Return the unit in which such bytes are drawn, and its name."""
    return (GIB, "GiB") if largest >= GIB else (MIB, "MiB")


def amount(count: float, unit: int) -> str:
    """Format bytes in a unit with three digits or so."""
    value = count / unit
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def conditions(records: Sequence[Record], of_memory: bool = True) -> str:
    """Say at which settings and versions, on what, and of peaks which memory they are."""
    measured = [record for record in records if record.memory] or records
    said = [_meters(measured) if of_memory else _few(map(_where, measured)), _settings(measured)]
    installed = [record.environment.packages for record in measured]
    said.append(", ".join(f"{n} {_few(p.get(n, '?') for p in installed)}" for n in MEMORY_PACKAGES))
    return "; ".join(part for part in said if part) + "."


def _meters(records: Iterable[Record]) -> str:
    words = {
        "cuda": "Peak allocated in training steps, as CUDA's caching allocator saw it",
        "cpu-ledger": "Peak allocated in training steps, every tensor counted on the CPU",
    }
    meters: dict[str, list[str]] = {}
    for record in records:
        if record.memory:
            meters.setdefault(words[record.memory.meter], []).append(_where(record))
    return " or ".join(f"{words} ({_few(where)})" for words, where in meters.items())


def _where(record: Record) -> str:
    here = record.environment
    return here.gpu.name if here.gpu else here.cpu


def _settings(records: Iterable[Record]) -> str:
    return _few(map(_setting, records), "; ")


def _setting(record: Record) -> str:
    """Return the settings that decide over memory, of one record."""
    train = record.cell.get("train", {})
    said = [str(train.get("precision", "precision not recorded"))]
    said.append(f"batch {train.get('batch_size', '?')}")
    if not (record.flops and record.flops.forward_length == IMAGE):
        most = train.get("max_length", "?")
        ways = {
            "longest": f"padded to the longest of a batch, at most {most} tokens",
            "packed": f"packed into rows of {most} tokens",
        }
        said.append(ways.get(str(train.get("padding")), f"padded to {most} tokens"))
    return ", ".join(said)


def _few(values: Iterable[str], between: str = "/") -> str:
    return few(list(dict.fromkeys(values)), between)


def few(values: Sequence[str], between: str = ", ") -> str:
    """Name some of the values, and say how many more there are."""
    named = between.join(one_line(value) for value in values[:NAMED])
    return named + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")


def failures(records: Iterable[Record]) -> str:
    """Say how cells ended that did not end well: `OOM`, `2 CRASHED, OOM`; empty if all did."""
    outcomes = [MARKS[r.outcome] for r in records if r.outcome != "ok"]
    return ", ".join(
        f"{outcomes.count(mark)} {mark}" if outcomes.count(mark) > 1 else mark
        for mark in dict.fromkeys(outcomes)
    )
