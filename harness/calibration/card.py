"""A GPU's constants: the host's seconds an operator, and what it reaches of its datasheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.calibration.twins import TWINS, Running, least_seconds, request_of, waiting
from harness.forecasting.calibrated import Device, Host
from harness.forecasting.cards import canonical
from harness.forecasting.named import card_named
from harness.timing.clock import Clock, Machine
from harness.timing.datasheet import Datasheet
from harness.timing.estimate import Timing

if TYPE_CHECKING:
    import torch

    from harness.gpus import InstalledGpu
    from harness.timing.trace import Tracer

TOKENS, WIDTH, INNER = 4096, 4096, 8192  # of a product of a language model of 7B
ADDED = 1 << 28  # bytes of a tensor that no cache holds
REPEATED = 5


def measured_card(gpu: InstalledGpu, traces: Sequence[Tracer]) -> tuple[Host, dict[str, Device]]:
    """Return the host's constant and the card's own, by its name; no card if it is not known.

    Args:
        gpu: the one that torch takes.
        traces: what the twins' steps dispatch on it.
    """
    import torch

    from harness.gpus import capability

    device = torch.device("cuda", 0)
    target = canonical(capability())
    steps = least_seconds([Running(request_of(twin, target), device) for twin in TWINS])
    card = card_named(gpu.name, torch.cuda.get_device_properties(device).total_memory)
    clock = card.clock if card is not None else None
    if card is None or clock is None or clock.sheet is None:
        clock = Clock(device=gpu.name, capability=capability(), sheet=ANY)
        return fitted_host(clock, traces, steps), {}
    found = reached(clock.sheet, device, gpu.name)
    shares = found.model_dump(exclude={"gpu"}, exclude_none=True)
    clock = clock.model_copy(update={"machine": Machine(**shares)})
    return fitted_host(clock, traces, steps), {card.name: found}


# A card that is not known: the twins' kernels are so small that any will do.
ANY = Datasheet(
    multiprocessors=80, bandwidth=8e11, l2=6e6, bf16=1e14, fp16=1e14, tf32=5e13, fp32=2e13, power=0,
)  # fmt: skip


def fitted_host(
    clock: Clock, traces: Sequence[Tracer], steps: Sequence[Mapping[str, float]]
) -> Host:
    """Return the host's seconds an operator with which twins take what they took, all in all.

    Args:
        clock: the card.
        traces: of the twins' steps.
        steps: measured seconds of each, under `step`.
    """
    took, seconds = sum(each["step"] for each in steps), clock.machine.host
    timings = [Timing(trace) for trace in traces]
    for _ in range(20):  # nearly proportional: a few rounds do
        machine = clock.machine.model_copy(update={"host": seconds})
        timed = clock.model_copy(update={"machine": machine})
        forecast = sum(timing.on(timed).steps[0].seconds for timing in timings)
        seconds *= took / forecast
    return Host(seconds=seconds, measured=True)


def reached(
    sheet: Datasheet, device: torch.device, gpu: str, added: int = ADDED, tokens: int = TOKENS
) -> Device:
    """Return the shares of a datasheet that a sum and products reach.

    Args:
        sheet: the card's.
        device: where it is.
        gpu: its driver's name for it.
        added: bytes of a summand.
        tokens: rows of the products' left matrix.
    """
    import torch

    left, right = (torch.zeros(added // 2, dtype=torch.bfloat16, device=device) for _ in range(2))
    moving = 3 * added / _seconds(lambda: torch.add(left, right, out=left), device)
    low = torch.bfloat16 if sheet.bf16 else torch.float16
    flops = 2 * tokens * WIDTH * INNER

    def rate(dtype: torch.dtype) -> float:
        a = torch.ones(tokens, WIDTH, dtype=dtype, device=device)
        b = torch.ones(WIDTH, INNER, dtype=dtype, device=device)
        return flops / _seconds(lambda: torch.mm(a, b), device)

    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        return Device(
            gpu=gpu,
            bandwidth=min(1.0, moving / sheet.bandwidth),
            products=min(1.0, rate(low) / (sheet.bf16 or sheet.fp16)),
            products_fp32=min(1.0, rate(torch.float32) / sheet.fp32),
        )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return the least seconds of a call, on the wall, until the device is done."""
    wait, found = waiting(device), []
    for _ in range(1 + REPEATED):
        wait()
        began = time.perf_counter()
        call()
        wait()
        found.append(time.perf_counter() - began)
    return min(found[1:])
