"""Work of a run that may want more memory than there is: what was alive then is found out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch

from harness.metering.watch import NoWatch
from harness.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from harness.metering.lack import BatchOf
    from harness.metering.watch import Watch
    from harness.training.setup import Setup

NO_WATCH = NoWatch()
T = TypeVar("T")


def accounted(
    setup: Setup,
    batch_of: BatchOf | None,
    act: Callable[[Watch], T],
    again: Callable[[Watch], object] | None = None,
) -> T:
    """Return what `act` returns; where memory runs out, do it again to see what is alive then.

    A ledger costs time, so that most steps have none. The run ends there anyway, and what its
    state becomes in a second attempt is of no interest.

    Args:
        setup: of the run.
        batch_of: whose batches are in work; None: neither training's nor an evaluation's.
        act: the work; called without anyone who watches.
        again: the part of it that needs most, to be watched; None: all of it.

    Raises:
        torch.OutOfMemoryError, MemoryError, RuntimeError: memory ran out, as it was.
    """
    try:
        return act(NO_WATCH)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        lack = error
    _let_go(setup, lack)
    number = setup.state.result.steps if batch_of == "training" else None
    setup.progress({"doing": "accounting for memory"})
    with setup.clock.apart("metering"):
        setup.meter.account(again or act, setup.state.step, batch_of, number)
    raise lack


def _let_go(setup: Setup, lack: Exception) -> None:
    """Free what the work had made: its frames, which the error holds, its gradients and caches."""
    seen: BaseException | None = lack
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    setup.state.step.drop()
    gc.collect()
    if setup.device.type == "cuda":
        torch.cuda.empty_cache()
