"""The CPU's constants as a device, from its kernels and from the steps of twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.timing.processor import Processor, counted

if TYPE_CHECKING:
    from harness.timing.processor import Curve
    from harness.timing.trace import Tracer


ROUNDS = 4  # calls and kernels in turn; they hardly touch each other


class Measured(NamedTuple):
    """A twin's step: what it dispatches, and the seconds that its parts took."""

    trace: Tracer
    seconds: Mapping[str, float]


def fitted(curves: tuple[Curve, ...], twins: Sequence[Measured], large: Measured) -> Processor:
    """Return the constants of one thread under which twins take what they took.

    Args:
        curves: of kernels.
        twins: whose steps are calls above all.
        large: one whose step is kernels above all.
    """
    found = Processor(
        threads=1, forward=0.0, backward=0.0, optimizer=0.0, module=0.0, per_pass=0.0,
        per_update=0.0, crowding=1.0, curves=curves,
    )  # fmt: skip
    for _ in range(ROUNDS):
        found = _with_calls(found, twins)
        found = found.model_copy(update={"crowding": found.crowding * _crowding(found, large)})
    return found


def _crowding(found: Processor, large: Measured) -> float:
    """Return how much longer a step's kernels take than they should."""
    rows = large.trace.rows["step 1"]
    calls = sum(found.calls(rows, large.trace.modules["step 1"]))
    left = large.seconds["step"] - calls
    return max(1.0 / found.crowding, left / sum(found.kernels(rows)))


def _with_calls(bare: Processor, twins: Sequence[Measured]) -> Processor:
    """Return constants with calls of twins.

    Least squares over the twins, each weighted by its inverse time; none is negative.
    """
    per_pass, forward, module = _solved("forward", bare, twins)
    per_update, optimizer, _ = _solved("optimizer", bare, twins)
    _, backward, _ = _solved("backward", bare, twins)
    return bare.model_copy(update={
        "forward": forward, "backward": backward, "optimizer": optimizer, "module": module,
        "per_pass": per_pass, "per_update": per_update,
    })  # fmt: skip


def call_seconds(processor: Processor, trace: Tracer) -> float:
    """Return the mean seconds of a call in a step's forward and backward passes."""
    rows = trace.rows["step 1"]
    calls = zip(processor.calls(rows, trace.modules["step 1"]), rows, strict=True)
    both = [seconds for seconds, row in calls if row.part != "optimizer"]
    return sum(both) / len(both)


def _solved(part: str, bare: Processor, twins: Sequence[Measured]) -> tuple[float, float, float]:
    """Return a part's own seconds, those of an operator's call in it and those of a module's."""
    import numpy
    from scipy.optimize import nnls

    own = 0.0 if part == "backward" else 1.0
    rows, rest = [], []
    for trace, seconds in twins:
        ours = [row for row in trace.rows["step 1"] if row.part == part]
        modules = len(trace.modules["step 1"]) if part == "forward" else 0
        took = seconds[part]
        rows.append([own / took, sum(map(counted, ours)) / took, modules / took])
        rest.append(max(0.0, took - sum(bare.kernels(ours))) / took)
    found, _ = nnls(numpy.array(rows), numpy.array(rest))
    return float(found[0]), float(found[1]), float(found[2])
