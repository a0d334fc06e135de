"""Numbers as people read them; the only place where bytes become GiB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

GIB = 2**30
MIB = 2**20
# Metrics that are no fractions, and shown as they are; so is what a user's own function returns.
NO_FRACTIONS = frozenset({"perplexity", "mae", "mse", "rmse", "nist", "cider"})
LESS_IS_BETTER = frozenset({"perplexity", "mae", "mse", "rmse"})


def gib(count: float | None) -> str:
    """Format bytes as GiB (2^30) with three digits that mean something."""
    if count is None:
        return "-"
    value = count / GIB
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"


def mib(count: float | None) -> str:
    """Format bytes as MiB (2^20)."""
    return "-" if count is None else f"{count / MIB:,.1f}"


SIZE = re.compile(r"\s*(\d[\d_,]*(?:\.\d+)?)\s*([kKMGT]?)(i?)B?\s*", re.ASCII)


def bytes_of(text: str | int) -> int:
    """Return the bytes of a size such as `3.2 GiB`, `500MB`, `1_024` or 1024.

    Raises:
        ValueError: it is none.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} is no size; write it as '3.2 GiB', '500 MB' or in bytes")
    found = SIZE.fullmatch(str(text))
    if found is None or (found[3] and not found[2]):
        raise ValueError(f"{text!r} is no size; write it as '3.2 GiB', '500 MB' or in bytes")
    base = 1024 if found[3] else 1000
    number = found[1].replace("_", "").replace(",", "")
    size: float = float(number) * base ** (" KMGT".index(found[2].upper() or " "))
    return round(size)


@dataclass(frozen=True)
class Unit:
    """A unit of bytes, and how a number of bytes reads in it."""

    name: str
    show: Callable[[float | None], str]


def unit_for(sizes: Iterable[int]) -> Unit:
    """Return the unit in which a table of such sizes, in bytes, reads best."""
    return Unit("GiB", gib) if max(sizes, default=0) >= 10 * GIB else Unit("MiB", mib)


def less_is_better(metric: str | None) -> bool:
    """Tell whether a metric counts errors; its name may have an evaluation's behind it."""
    return (metric or "").partition(" ")[0] in LESS_IS_BETTER


def in_bytes(count: int | None, sign: str = "") -> str:
    """Format bytes with their unit: in MiB (2^20), less than a tenth of it as they are."""
    if count is None:
        return "-"
    if abs(count) < MIB // 10:
        return f"{count:{sign},} B" if count else "0"
    return f"{count / MIB:{sign},.1f} MiB"


def moved(count: int | None) -> str:
    """Format bytes more or less than before."""
    return in_bytes(count, "+")


def moved_share(share: float | None) -> str:
    """Format a change as per cent of before."""
    return "-" if share is None else f"{100 * share:+.2f} %" if share else "0"


def is_fraction(metric: str | None) -> bool:
    """Tell whether a metric is shown in per cent; its name may have an evaluation's behind it."""
    name = (metric or "").partition(" ")[0]
    return name not in NO_FRACTIONS and ":" not in name


def score(value: float | None, metric: str | None = None) -> str:
    """Format a metric as per cent points, as the papers print it; what is no fraction as it is."""
    if value is None:
        return "-"
    if is_fraction(metric):
        return f"{100 * value:.2f}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def millions(count: float | None) -> str:
    """Format a number of parameters in millions, a small one as it is."""
    if count is None:
        return "-"
    if count < 10_000:
        return f"{count:,.0f}"
    value = count / 1e6
    return f"{value:.1f}M" if value >= 10 else f"{value:.3f}M"


def tera(operations: float | None) -> str:
    """Format floating point operations as TFLOP."""
    if operations is None:
        return "-"
    value = operations / 1e12
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def clock(seconds: float) -> str:
    """Format elapsed seconds as [h:]mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def giga(operations: float | None) -> str:
    """Format floating point operations as GFLOP."""
    return "-" if operations is None else f"{operations / 1e9:.3g}"


def ratio(value: float | None) -> str:
    """Format a ratio."""
    return "-" if value is None else f"{value:.2f}"


def milliseconds(seconds: float | None) -> str:
    """Format seconds as milliseconds, with three digits or all that stand before the point."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """Format a forecast length of time, in the unit that it reads best in."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def watt_hours(joules: float | None) -> str:
    """Format an energy as Wh or kWh."""
    if joules is None:
        return "-"
    value = joules / 3600
    return f"{value / 1000:.3g} kWh" if value >= 1000 else f"{value:.3g} Wh"
