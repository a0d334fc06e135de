"""After the last step: take out what training only masked, and measure what that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metering.clock import Clock
from harness.metering.flops import forward_flops
from harness.metering.watch import NoWatch, Watch
from harness.record import Compacted
from harness.training.evaluate import evaluate_on
from methods import surgery

if TYPE_CHECKING:
    from harness.record import PhaseMemory
    from harness.training.setup import Setup

# Steps whose median is the step time; the audited one is not among them.
TIMED_STEPS = 20


def compact(setup: Setup) -> Compacted | None:
    """Compact the trained model and measure it; None where the method has nothing to take out.

    Its memory, FLOPs and time are those of training steps as before, on the first batches of the
    first epoch and its longest one, at a learning rate of 0: the weights stay as they are.
    """
    change = setup.handle.compact()
    if change is None:
        return None
    setup.progress({"doing": "measuring the compacted model"})
    setup.state.apply(change)
    scores = {name: evaluate_on(setup, name) for name in setup.data.report_on}
    with setup.clock.apart("metering"):
        flops = forward_flops(setup.model, setup.full_example())
        memory = _training_phase(setup)
    return Compacted(
        scores=scores,
        parameters_total=surgery.num_parameters(setup.model),
        adapter=sum(p.numel() for p in setup.handle.parameters()),
        forward_macs=flops.macs,
        forward=flops.flops,
        memory=memory,
    )


def _training_phase(setup: Setup) -> PhaseMemory:
    order, optimizer, number = setup.order, setup.state.optimizer, setup.state.result.steps
    # The method has had its last step: its hooks would count, score and shrink on.
    step = setup.state.step.without_hooks()
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * 0  # a tensor with torchao's, which takes no number in its place
    steps = order.epoch(0)
    longest = max(steps, key=lambda batches: order.largest(batches).tokens)
    setup.meter.start_phase(number, [(order.largest(longest), None)])
    setup.meter.learn(None, setup.flops())
    clock = Clock(setup.clock.synchronize)
    setup.model.train()

    def run(batches: list[list[int]], watch: Watch) -> None:
        tensors = (order.tensors(batch, setup.device) for batch in order.own(batches))
        step.run(0, tensors, order.parts(batches), watch)

    with setup.meter.audit(number, step) as watch:
        run(longest, watch)
    for batches in steps[:TIMED_STEPS]:
        clock.start_step()
        run(batches, NoWatch())
        clock.end_step()
    for batches in steps:  # FLOPs as of the whole epoch, to be compared with a phase's mean
        setup.meter.count([order.shape(batch) for batch in order.own(batches)], None)
    return setup.meter.take_phase(clock.report().step_median)
