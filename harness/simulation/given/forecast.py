"""The forecast of a step that somebody else wrote, as figures."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from harness.metering.events import Holder
from harness.simulation.given.step import Given, run_given
from harness.simulation.step_forecast import LAYER, replayed
from harness.simulation.target import Target
from harness.simulation.timeline import OF_PARAMETERS


class Place(NamedTuple):
    """What one place of the model holds at the peak, of one category; layers are one place."""

    category: str
    module: str
    num_bytes: int


class GivenForecast(NamedTuple):
    """What a step needs, in bytes.

    Attributes:
        allocated: the most, as torch counts it, from the second step on.
        reserved: held by the caching allocator; of the CPU the same as allocated.
        passes: for a capacity below `reserved`, whether the allocator gets by after it has given
            back what it caches.
        part: of the step, in which the peak lies.
        places: what is alive at the peak; all of it, the largest first.
        remarks: what was assumed.
        seconds: that it took.
    """

    allocated: int
    reserved: int
    passes: dict[int, bool]
    part: str
    places: list[Place]
    remarks: tuple[str, ...]
    seconds: float


def forecast_given(
    given: Given,
    target: Target,
    capacities: tuple[int, ...] = (),
    *,
    meta: bool = True,
    values: dict[str, Any] | None = None,
) -> GivenForecast:
    """Forecast a step; run it in a process of its own.

    Args:
        given: the step.
        target: the device.
        capacities: what cards offer to the allocator, in bytes.
        meta: as `run_given` has it.
        values: likewise.

    Raises:
        UserError: something in it cannot be simulated.
        AutocastNeedsValues: as `run_given` does.
    """
    run = run_given(given, target, meta=meta, values=values)
    allocated = reserved = run.report.peak
    passes: dict[int, bool] = {}
    unsplit = 0
    if target.kind == "cuda":
        figures = replayed(run, capacities)
        allocated, reserved = figures["peak_allocated"], figures["needs"]["training"].reserved
        passes, unsplit = figures["passes"], figures["split"]["unsplit"]
    places = _places(run.report.holders, unsplit, run.root)
    mark, remarks, seconds = run.report.peak_mark, run.remarks, run.seconds
    return GivenForecast(allocated, reserved, passes, mark, places, remarks, seconds)


def _places(holders: tuple[Holder, ...], unsplit: int, root: str) -> list[Place]:
    """Sum up what is held by category and place; a parameter's place is the module it is in.

    The only model has the name of its class, and what is inside of it goes without.
    """
    sums: Counter[tuple[str, str]] = Counter()
    for holder in holders:
        inside = holder.category in OF_PARAMETERS
        path = holder.path.rpartition(".")[0] if inside else holder.path
        path = path.removeprefix(f"{root}.") if root else path
        library = holder.op.partition("::")[0] if holder.op.endswith("::workspace") else ""
        sums[holder.category, f"({library})" if library else LAYER.sub("*", path)] += (
            holder.num_bytes
        )
    if unsplit:
        sums["temporary", "(rests of blocks)"] += unsplit
    return [Place(*key, size) for key, size in sums.most_common()]
