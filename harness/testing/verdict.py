"""A forecast against what a mark allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.testing.accepted import LEAST, Accepted
from harness.units import unit_for

if TYPE_CHECKING:
    from harness.simulation.given.forecast import GivenForecast, Place
    from harness.testing.marks import Demand

TOP = 10
NAMES = {
    "weights.base": "weights, frozen", "weights.adapter": "weights, trained", "method": "other",
}  # fmt: skip
FIGURES = {
    "allocated": "allocated",
    "reserved": "reserved",
    "device": "on the device, context included",
}
NO_MODULE = "(outside of modules)"


class Judged(NamedTuple):
    """One mark's outcome.

    Attributes:
        key: of the accepted peak: test, card and what runs.
        figure: the bytes that the mark is about.
        limit: bytes that it may come to; None: there is nothing to hold it against.
        accepted: what it needed last; None: nothing was accepted.
        failure: what to say; empty where it is within its limit.
    """

    key: str
    demand: Demand
    figure: int
    limit: int | None
    accepted: Accepted | None
    failure: str


def key_of(nodeid: str, demand: Demand) -> str:
    """Return the name under which a test's peak is accepted."""
    run = demand.run
    parts = [demand.card.name, *([run.step] if run.step != "training" else [])]
    parts += [run.autocast] if run.autocast else []
    return f"{nodeid} @ {' '.join(parts)}"


def figure_of(demand: Demand, forecast: GivenForecast) -> int:
    """Return the figure that the mark is about, in bytes."""
    if demand.of == "allocated":
        return forecast.allocated
    return forecast.reserved + (demand.card.context if demand.of == "device" else 0)


def judge(
    nodeid: str, demand: Demand, forecast: GivenForecast, accepted: Accepted | None,
    software: dict[str, str], *, accepting: bool = False,
) -> Judged:  # fmt: skip
    """Hold a forecast against the mark, and against the card."""
    figure, limit = figure_of(demand, forecast), demand.limit
    if demand.mark == "memory_increase":
        if accepted is not None and accepted.of != demand.of:
            accepted = None  # another figure: nothing to compare
        limit = None
        if accepted is not None:
            allowed = demand.limit if demand.share is None else demand.share * accepted.num_bytes
            limit = accepted.num_bytes + int(allowed or 0)
    failure = _does_not_fit(demand, forecast)
    over = limit is not None and figure > limit
    if not failure and over and not (accepting and demand.mark == "memory_increase"):
        told = (
            _over(demand, figure) if accepted is None or demand.mark == "memory_budget"
            else _grown(demand, figure, accepted, forecast, software)
        )  # fmt: skip
        failure = f"{told}\n{alive(forecast, demand)}"
    elif failure:
        failure = f"{failure}\n{alive(forecast, demand)}"
    return Judged(key_of(nodeid, demand), demand, figure, limit, accepted, failure)


def _does_not_fit(demand: Demand, forecast: GivenForecast) -> str:
    """Say that a card has not the memory at all; empty where it has."""
    card, reserved = demand.card, forecast.reserved
    if reserved <= card.capacity or forecast.passes.get(card.capacity):
        return ""
    return (
        f"{amount(reserved)} to reserve on {card.name}, which has {amount(card.capacity)}: "
        f"the step does not fit\n(of the {demand.run.step} step; a forecast)"
    )


def _over(demand: Demand, figure: int) -> str:
    limit = demand.limit or 0
    over = f"{amount(figure - limit)} over the budget of {amount(limit)}"
    return f"{_head(demand, figure)}: {over}{_share(figure - limit, limit)}{_tail(demand)}"


def _head(demand: Demand, figure: int) -> str:
    return f"{amount(figure)} on {demand.card.name}"


def _tail(demand: Demand) -> str:
    """Say which step's figure it is, on a line of its own: the first line is cut in summaries."""
    return f"\n(of the {demand.run.step} step; {FIGURES[demand.of]}; a forecast)"


def _grown(
    demand: Demand, figure: int, accepted: Accepted, forecast: GivenForecast,
    software: dict[str, str],
) -> str:  # fmt: skip
    before = accepted.num_bytes
    change = figure - before
    lines = [
        f"{_head(demand, figure)}: {amount(change)} more than the accepted {amount(before)}"
        f"{_share(change, before)}{_tail(demand)}"
    ]
    moved = [
        f"{name} {accepted.software.get(name, 'absent')} -> {software.get(name, 'absent')}"
        for name in sorted({*accepted.software, *software})
        if accepted.software.get(name) != software.get(name)
    ]
    if moved:
        lines.append(f"accepted with other versions: {', '.join(moved)}")
    now = places_of(forecast)
    least = LEAST * max(before, forecast.allocated)
    grown = {
        name: size - accepted.places.get(name, 0) for name, size in now.items()
        if size - accepted.places.get(name, 0) > least
    }  # fmt: skip
    if grown:
        lines += ["grew most, at the peak:"]
        lines += _rows(sorted(grown.items(), key=lambda one: -one[1])[:TOP], "+")
    lines.append("to accept it: pytest --memory-accept --memory-reason '...'")
    return "\n".join(lines)


def alive(forecast: GivenForecast, demand: Demand) -> str:
    """Return what is alive at the peak, as a table."""
    least = LEAST * forecast.allocated
    named = [one for one in places_of(forecast).items() if one[1] >= least][:TOP]
    rest = forecast.allocated - sum(size for _, size in named)
    rows = [*named, *([("everything else", rest)] if rest else [])]
    head = f"alive at the peak, in {forecast.part}, of {amount(forecast.allocated)} allocated:"
    tail = (
        f"reserved {amount(forecast.reserved)}" if forecast.reserved != forecast.allocated else ""
    )
    if tail and demand.card.context:
        tail += (
            f"; with the CUDA context {amount(forecast.reserved + demand.card.context)} of "
            f"{amount(demand.card.usable)}"
        )
    remarks = [f"note: {remark}" for remark in forecast.remarks]
    return "\n".join([head, *_rows(rows, ""), *([tail] if tail else []), *remarks])


def places_of(forecast: GivenForecast) -> dict[str, int]:
    """Return the bytes of every place, by `category | module`, the largest first."""
    return {_named(place): place.num_bytes for place in forecast.places}


def _named(place: Place) -> str:
    category = NAMES.get(place.category, place.category)
    return f"{category} | {place.module or NO_MODULE}"


def _rows(named: list[tuple[str, int]], sign: str) -> list[str]:
    unit = unit_for(abs(size) for _, size in named)
    told = [(f"{sign}{unit.show(size)}", *name.partition(" | ")[::2]) for name, size in named]
    widths = [max(len(row[0]) for row in told), max(len(row[1]) for row in told)]
    return [
        f"  {number:>{widths[0]}} {unit.name}  {category:<{widths[1]}}  {module}".rstrip()
        for number, category, module in told
    ]


def amount(count: int) -> str:
    """Format bytes in the unit that they read best in; exact ones where that says too little."""
    size = abs(count)
    if size >= 2**30:
        return f"{count / 2**30:.3f} GiB"
    if size >= 2**20:
        return f"{count / 2**20:,.2f} MiB"
    return f"{count:,} B"


def _share(change: int, before: int) -> str:
    if not before or abs(change) >= 10 * before:  # that is read from the two amounts
        return ""
    return f" ({100 * change / before:+.2f} %)"
