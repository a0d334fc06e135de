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


# Metrics that are no fractions, and are printed as they are.
NO_FRACTIONS = frozenset({"perplexity", "nist", "cider"})


def score(value: float | None, metric: str | None = None) -> str:
    """Format a metric as the papers print it: a fraction as per cent points.

    `metric` is its name, or begins with it (`perplexity test`).
    """
    return "-" if value is None else f"{scale_of(metric) * value:.2f}"


def scale_of(metric: str | None) -> int:
    """Return what a metric is multiplied with where people read it."""
    return 1 if metric and metric.split()[0] in NO_FRACTIONS else 100


def unit_of(metric: str | None) -> str:
    """Return what machines read behind a metric's name."""
    return "" if scale_of(metric) == 1 else " (fraction)"


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
