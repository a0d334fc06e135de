"""`python -m harness.calibrate`: measure this machine's constants for forecasts of step times."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import DONE, FAILED, command, examples, new_app
from harness.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.forecasting.calibrated import Calibration
    from harness.timing.processor import Processor

app = new_app()
EXAMPLES = examples(
    "headroom calibrate",
    "headroom calibrate --show",
    "headroom forecast suites/quick.yaml --gpu cpu",
)


@command(app, epilog=EXAMPLES)
def calibrate(
    show: Annotated[bool, typer.Option("--show", help="print what is kept, and end")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="remove what is kept")] = False,
) -> int:
    """Measure this machine in half a minute; forecasts of step times use it from then on.

    With an NVIDIA GPU: the host's seconds an operator, and what the card reaches of its datasheet.
    Without: the host reckoned from steps on the CPU. The CPU itself is measured, too: it is a
    device to forecast for, --gpu cpu.
    """
    from harness.forecasting import calibrated

    if show and forget:
        raise UserError("--show and --forget: choose one of the two")
    if forget:
        removed = calibrated.forget()
        print(f"removed: {removed}" if removed else "nothing is kept")
        return DONE
    if show:
        found = calibrated.calibration()
        print("\n".join(_told(found)) if found else "nothing is kept; headroom calibrate measures")
        return DONE if found else FAILED
    from harness.calibration.measure import measured

    if calibrated.calibration_file() is None:
        raise UserError("there is no folder to keep it in; name one in $HEADROOM_CACHE")
    found = measured(lambda what: print(f"measuring: {what}", file=sys.stderr))
    print("\n".join(_told(found)))
    print(f"kept: {calibrated.keep(found)}")
    return DONE


def _told(found: Calibration) -> Iterator[str]:
    """Yield what was measured, line by line."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    yield f"{found.date}, {found.cpu}, {found.cores} cores; {versions}; {found.took:.0f} s"
    how = "measured on a GPU's steps" if found.host.measured else "reckoned from steps on the CPU"
    yield f"host: {1e6 * found.host.seconds:.1f} µs an operator, {how}"
    for name, device in found.devices.items():
        low = f"{device.products:.2f} of 16-bit products', " if device.products else ""
        yield (
            f"{name} ({device.gpu}): {device.bandwidth:.2f} of the bandwidth, {low}"
            f"{device.products_fp32:.2f} of fp32 products' peak"
        )
    for processor in found.processors:
        if processor.threads == 1 or not found.doubt(processor.threads):
            yield _of_cpu(processor)
    for threads in sorted({1, *found.doubts, *(one.threads for one in found.processors)}):
        if doubt := found.doubt(threads):
            what = "in doubt" if threads == 1 else "not used"
            yield f"{_threads(threads)}: {what}: {doubt}; repeat it when the machine is quiet"


def _of_cpu(processor: Processor) -> str:
    """Say what a CPU's constants are."""
    parts = ("forward", "backward", "optimizer", "module")
    calls = ", ".join(f"{1e6 * getattr(processor, part):.1f}" for part in parts)
    return (
        f"{_threads(processor.threads)}: {calls} µs a call forward, backward, in the optimizer, "
        f"of a module; products at {processor.rate('aten::mm') / 1e9:.0f} GFLOP/s, sums at "
        f"{processor.rate('aten::add') / 1e9:.0f} GB/s"
    )


def _threads(number: int) -> str:
    return f"cpu, {number} thread{'s' * (number > 1)}"


if __name__ == "__main__":
    app()
