"""How far a forecast step time may be off, and which of host and device it hangs on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field

from harness.part import Part
from harness.timing.clock import Clock

# From this share of the device's work on, the host's decides with it.
NEAR = 0.8
# Of device-bound steps, by datasheets alone: (ratio of two cells, seconds).
DEVICE_BOUND = (0.05, 0.10)
# Of host-bound steps and those near it: the host's seconds an operator were measured, or were not.
HOST_CALIBRATED, HOST_ASSUMED = (0.10, 0.10), (0.25, 0.25)
# On the CPU, where host and device are the same cores.
CPU = (0.15, 0.25)


class Bar(Part):
    """What may be said of a forecast step time.

    Attributes:
        binds: who has more to do; the other one waits.
        near: the host has at least 0.8 of the device's work.
        ratio: how far the ratio to another cell on the same device may be off, as a fraction.
        absolute: how far the seconds may be off, as a fraction.
    """

    binds: Literal["host", "device"]
    near: bool
    ratio: float = Field(description="fraction")
    absolute: float = Field(description="fraction")


def bar_of(host: float, device: float, clock: Clock) -> Bar:
    """Return the error bar of a step on a clock.

    Args:
        host: seconds that the host works on it.
        device: seconds that the device works on it.
        clock: what it was timed on.
    """
    near = host >= NEAR * device
    if clock.sheet is None:
        ratio, absolute = CPU
    elif not near:
        ratio, absolute = DEVICE_BOUND
    else:
        calibrated = "host" in clock.machine.calibrated
        ratio, absolute = HOST_CALIBRATED if calibrated else HOST_ASSUMED
    binds: Literal["host", "device"] = "host" if host > device else "device"
    return Bar(binds=binds, near=near, ratio=ratio, absolute=absolute)


def ratio_bar(one: Bar, other: Bar) -> float:
    """Return how far the ratio of two step times may be off: as far as the worse of them."""
    return max(one.ratio, other.ratio)


def bar_text(fraction: float) -> str:
    """Return `±5 %`."""
    return f"±{100 * fraction:.0f} %"


def at_least_text(operators: Sequence[str], most: int = 3) -> str:
    """Say which operators' cost is not known, so that the time is a lower bound; or nothing."""
    if not operators:
        return ""
    more = f" and {len(operators) - most} more" if len(operators) > most else ""
    return f"at least: the cost of {', '.join(operators[:most])}{more} is not known"


def rule_of(bars: Collection[Bar]) -> str:
    """Return the bars of some steps in words: `rule`, as far as it is about them."""
    kinds = sorted({(bar.near, bar.ratio, bar.absolute) for bar in bars})
    wheres = {False: " where the device binds", True: " where the host binds, or nearly"}
    told = [
        (f"{bar_text(ratio)} of a ratio and {bar_text(absolute)} of a time" if ratio != absolute
         else f"{bar_text(ratio)} of a ratio and of a time")
        + (wheres[near] if len({each[0] for each in kinds}) > 1 else "")
        for near, ratio, absolute in kinds
    ]  # fmt: skip
    narrower = any(each == (True, *HOST_ASSUMED) for each in kinds)
    hint = f" ({bar_text(HOST_CALIBRATED[0])} after headroom calibrate)" if narrower else ""
    return f"Error bars: {'; '.join(told)}{hint}."


def rule() -> str:
    """Return the rule of the bars in words, for captions."""
    device, host, assumed = DEVICE_BOUND, HOST_CALIBRATED, HOST_ASSUMED
    return (
        f"Error bars: where the host has less than {NEAR:g} of the device's work, "
        f"{bar_text(device[0])} of a ratio and {bar_text(device[1])} of a time; else "
        f"{bar_text(host[0])} of both with the host calibrated, {bar_text(assumed[0])} without; on "
        f"the CPU {bar_text(CPU[0])} and {bar_text(CPU[1])}. "
        "A kernel of unknown cost makes a time a lower bound (>=)."
    )
