"""What a running cell's checkpoint holds, and how a fresh one goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from methods.common.random_state import RandomState

if TYPE_CHECKING:
    from harness.training.saved import Saved
    from harness.training.setup import Setup
    from harness.training.studies import Studies


class Place(NamedTuple):
    """Where a run stands in its data: before a step of an epoch, both counted from 0."""

    epoch: int
    step: int


def collect(setup: Setup, studies: Studies, place: Place) -> Saved:
    """Return all that the rest of the run, from `place` on, depends on.

    What is each rank's own, such as its random numbers, is there by rank; all of them call this.
    """
    random = RandomState.now(setup.device)
    own = {
        "meter": setup.meter.state_dict(),
        "clock": setup.clock.state_dict(),
        "studies": studies.state_dict(),
        "random": {"host": random.host, "gpu": random.gpu},
        "loss_sum": setup.state.step.loss_sum,
    }
    ranks = setup.ranks.gather(own)
    return {**place._asdict(), "state": setup.state.state_dict(), "ranks": ranks}


def resume(setup: Setup, studies: Studies) -> Place:
    """Take up the run's checkpoint, if there is one; returns where to go on.

    The run is fresh, with the method attached and shown its probe.
    """
    saved = setup.checkpoints.load() if setup.checkpoints else None
    if saved is None:
        return Place(0, 0)
    setup.state.load_state_dict(saved["state"])
    setup.state.result.resumed_at.append(setup.state.result.steps)
    own = saved["ranks"][setup.ranks.rank]
    setup.meter.load_state_dict(own["meter"])
    setup.clock.load_state_dict(own["clock"])
    studies.load_state_dict(own["studies"])
    setup.state.step.loss_sum.copy_(own["loss_sum"])
    RandomState(setup.device, **own["random"]).restore()
    return Place(saved["epoch"], saved["step"])
