"""After the last step: take out what training only masked, and measure what that leaves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.metering.clock import Clock
from harness.metering.flops import forward_flops
from harness.record import Compacted
from harness.training.optim import apply_change
from harness.training.step import NoWatch, Step, Watch
from methods.base import Handle

if TYPE_CHECKING:
    from harness.record import PhaseMemory
    from harness.training.loop import Loop

# Steps whose median is the step time; the audited one is not among them.
TIMED_STEPS = 20


def compact(loop: Loop) -> Compacted | None:
    """Compact the trained model and measure it; None where the method has nothing to take out.

    Its memory, FLOPs and time are those of training steps as before, on the first batches of the
    first epoch and its longest one, at a learning rate of 0: the weights stay as they are.
    """
    job = loop.job
    change = job.handle.compact()
    if change is None:
        return None
    job.progress({"doing": "measuring the compacted model"})
    apply_change(loop.optimizer, change)
    loop.note_change(change)
    scores = {name: loop.evaluate(name) for name in job.data.report_on}
    with job.clock.beside("metering"):
        flops = forward_flops(job.model, job.order.tensors([0], job.device))
        memory = _training_phase(loop)
    return Compacted(
        scores=scores,
        parameters_total=sum(p.numel() for p in job.model.parameters()),
        adapter=sum(p.numel() for p in job.handle.parameters()),
        forward_macs=flops.macs,
        forward=flops.flops,
        memory=memory,
    )


def _training_phase(loop: Loop) -> PhaseMemory:
    job, order = loop.job, loop.job.order
    for group in loop.optimizer.param_groups:
        group["lr"] = 0.0
    # The method's hooks have had their last step: they would count, score and shrink on.
    silent = Handle(model=job.model, adapter=job.handle.adapter)
    step = Step(job.model, silent, loop.optimizer, job.settings, job.device,
                smooth=not job.task.regression)  # fmt: skip
    steps = order.epoch(0)
    longest = max(steps, key=lambda batches: max(math.prod(order.shape(b)) for b in batches))
    shape = max((order.shape(batch) for batch in longest), key=math.prod)
    job.meter.start_phase(loop.result.steps, [(shape, None)])
    job.meter.learn(None, job.flops())
    clock = Clock(job.clock.synchronize)
    job.model.train()

    def run(batches: list[list[int]], watch: Watch) -> None:
        step.run(0, (order.tensors(batch, job.device) for batch in batches), len(batches), watch)

    with job.meter.audit(loop.result.steps, loop.optimizer) as watch:
        run(longest, watch)
    for batches in steps[:TIMED_STEPS]:
        clock.start_step()
        run(batches, NoWatch())
        clock.end_step()
    for batches in steps:  # FLOPs as of the whole epoch, to be compared with a phase's mean
        job.meter.count([order.shape(batch) for batch in batches], None)
    return job.meter.take_phase(clock.report().step_median)
