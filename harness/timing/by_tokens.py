"""The time of a step of any size, from those of a few."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from harness.timing.times import StepTime


def at_tokens(steps: Sequence[StepTime], tokens: float) -> StepTime:
    """Return the time of a step of so many padded tokens.

    Between two known ones it lies on the line through them. Outside of all it lies on a line from
    the nearest one with the slope of least squares through all; of a single known size the device's
    work is taken to grow with the tokens. No step is shorter than the host's work on it.

    Args:
        steps: of one device, at least one; several of one size count as their mean.
        tokens: of all passes of the step.
    """
    names = list(dict.fromkeys(name for step in steps for name in step.parts))
    host = _at([(step.tokens, step.host) for step in steps], tokens, grows=False)
    device = _at([(step.tokens, step.device) for step in steps], tokens)
    seconds = max(host, _at([(step.tokens, step.seconds) for step in steps], tokens))
    parts = {
        name: _at([(step.tokens, step.parts.get(name, 0.0)) for step in steps], tokens)
        for name in names
    }
    scale = seconds / (sum(parts.values()) or seconds or 1.0)
    return StepTime(
        seconds=seconds,
        host=host,
        device=device,
        parts={name: part * scale for name, part in parts.items()},
        examples=round(_at([(step.tokens, float(step.examples)) for step in steps], tokens)),
        tokens=round(tokens),
    )


def _at(points: Sequence[tuple[int, float]], x: float, *, grows: bool = True) -> float:
    """Return y at x; `grows`: with one known x only, y is proportional to it."""
    by_x: dict[int, list[float]] = defaultdict(list)
    for known, y in points:
        by_x[known].append(y)
    line = [(known, fmean(by_x[known])) for known in sorted(by_x)]
    for (x0, y0), (x1, y1) in pairwise(line):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    near, y = min(line, key=lambda point: abs(point[0] - x))
    if len(line) == 1:
        return y * x / near if grows and near else y
    return max(0.0, y + _slope(line) * (x - near))


def _slope(line: Sequence[tuple[int, float]]) -> float:
    """Return the slope of least squares; a step does not get shorter with its tokens."""
    mean_x, mean_y = fmean(x for x, _ in line), fmean(y for _, y in line)
    above = sum((x - mean_x) * (y - mean_y) for x, y in line)
    return max(0.0, above / sum((x - mean_x) ** 2 for x, _ in line))
