"""Numbers as people read them; the only place where bytes become GiB."""

from __future__ import annotations

GIB = 2**30
MIB = 2**20


def gib(count: float | None) -> str:
    """Format bytes as GiB (2^30) with three digits that mean something."""
    if count is None:
        return "-"
    value = count / GIB
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"


def mib(count: float | None) -> str:
    """Format bytes as MiB (2^20)."""
    return "-" if count is None else f"{count / MIB:,.1f}"


def score(fraction: float | None) -> str:
    """Format a metric as per cent points, as the papers print it."""
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def millions(count: float | None) -> str:
    """Format a number of parameters in millions."""
    if count is None:
        return "-"
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
