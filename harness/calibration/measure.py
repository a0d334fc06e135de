"""All that `headroom calibrate` measures, in its order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harness.calibration.processor import Measured, call_seconds, fitted
from harness.calibration.quiet import crowded, settled
from harness.calibration.twins import CROWDED, TWINS, Running, least_seconds, request_of, traced
from harness.errors import UserError
from harness.forecasting.calibrated import Calibration, Device, Host
from harness.forecasting.cards import canonical, default_threads
from harness.forecasting.pool import preload, run_forked
from harness.simulation.target import CPU, Target
from harness.timing.plausible import slowed
from harness.timing.processor import Curve, Processor

if TYPE_CHECKING:
    from harness.timing.trace import Tracer

# Seconds of the host for an operator on a GPU over those of a call on the CPU alone: 13 µs on the
# machine of peft's published runs, whose CPU (AMD EPYC Milan) is taken to need 5.8 for a call, from
# 4.8 on a quiet EPYC Genoa. Where there is a GPU, the first is measured and this is not used.
OVER_A_CALL = 13 / 5.8


def measured(say: Callable[[str], None]) -> Calibration:
    """Measure this machine, in half a minute.

    Args:
        say: told what begins.

    Raises:
        UserError: a twin cannot be forecast or run.
    """
    import torch

    from harness.env import describe
    from harness.gpus import capability, installed

    began, load = time.perf_counter(), crowded()
    if load:
        say(f"{load}: a busy machine; what cannot be believed is measured again, and told")
    gpus = installed()
    say("what tiny models' steps dispatch")
    preload(whole=True)
    targets = [CPU, *([canonical(capability())] if gpus else [])]
    of_cpu, *of_card = [_traces(target) for target in targets]  # before anything computes
    large = of_cpu.pop()
    before = torch.get_num_threads()
    try:
        processors, doubts = _processors(of_cpu, large, load, say)
    finally:
        torch.set_num_threads(before)
    call = call_seconds(processors[0], of_cpu[-1])
    host, devices = Host(seconds=OVER_A_CALL * call, measured=False), dict[str, Device]()
    if of_card:
        from harness.calibration.card import measured_card

        say(f"{gpus[0].name}: steps, a copy, products")
        host, devices = measured_card(gpus[0], of_card[0])
    here = describe()
    names = ("torch", "transformers", "peft")
    return Calibration(
        date=datetime.now(UTC).date().isoformat(),
        cpu=here.cpu,
        cores=here.cores or 1,
        versions={name: here.packages[name] for name in names},
        host=host,
        devices=devices,
        processors=processors,
        doubts=doubts,
        took=time.perf_counter() - began,
    )


def _traces(target: Target) -> list[Tracer]:
    """Return what every twin's step dispatches on a target."""
    twins = (*TWINS, CROWDED) if target is CPU else TWINS
    tasks = [(traced, (request_of(twin, target),)) for twin in twins]
    found: dict[int, Tracer] = {}
    for number, answer in run_forked(tasks, default_threads()):
        if isinstance(answer, Exception):
            raise UserError(f"{twins[number].model}, {twins[number].method}: {answer}")
        found[number] = answer
    return [found[number] for number in range(len(twins))]


def _processors(
    traces: Sequence[Tracer], large: Tracer, load: str, say: Callable[[str], None]
) -> tuple[list[Processor], dict[int, str]]:
    """Return the CPU's constants with one thread, and with as many as torch takes by itself.

    Calls are of one thread always; kernels are measured with each number. Those of many threads are
    left out where anything is in doubt, which is returned, too, by threads: with one thread the
    time of others' work is not counted, with many a kernel waits for it.
    """
    import torch

    from harness.calibration.kernels import Kernels

    torch.set_num_threads(1)
    say("the CPU: steps of tiny models")
    device = torch.device("cpu")
    *steps, large_step = least_seconds(
        [Running(request_of(twin, CPU), device) for twin in (*TWINS, CROWDED)]
    )
    say("the CPU: kernels, 1 thread")
    twins = [Measured(*pair) for pair in zip(traces, steps, strict=True)]
    kernels, why = settled(Kernels(), say)
    alone = fitted(kernels, twins, Measured(large, large_step))
    found, doubts, most = [alone], {1: _both(load, why)}, default_threads()
    if most > 1:
        say(f"the CPU: kernels, {most} threads")
        torch.set_num_threads(most)

        def with_many(curves: tuple[Curve, ...]) -> Processor:
            return alone.model_copy(update={"threads": most, "curves": curves})

        kernels, why = settled(Kernels(), say, lambda curves: slowed(with_many(curves), alone))
        doubts[most] = _both(load, why)
        if not doubts[most]:
            found.append(with_many(kernels))
    return found, {threads: doubt for threads, doubt in doubts.items() if doubt}


def _both(*doubts: str) -> str:
    return "; ".join(filter(None, doubts))
