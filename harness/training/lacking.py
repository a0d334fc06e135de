"""Work of a run that may want more memory than there is: what was alive then is found out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from harness.metering.watch import NoWatch
from harness.out_of_memory import OutOfMemory, is_out_of_memory

if TYPE_CHECKING:
    from harness.metering.lack import BatchOf
    from harness.metering.watch import Watch
    from harness.record import Record
    from harness.training.setup import Progress, Setup

NO_WATCH = NoWatch()
ACCOUNTING = "accounting for memory"  # no answer to the question what a run was at
T = TypeVar("T")


class Heard:
    """Passes progress on, and knows what the run is at."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._doing = "starting"

    def __call__(self, news: dict[str, Any]) -> None:
        """Pass it on."""
        if news.get("doing", ACCOUNTING) != ACCOUNTING:
            self._doing = news["doing"]
        self._progress(news)

    def tell_lack(self, record: Record) -> None:
        """Say in the record at what memory ran out; the meter may have seen what was alive."""
        lack = record.out_of_memory or OutOfMemory(doing=self._doing)
        record.out_of_memory = lack.model_copy(update={"doing": self._doing})


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
    setup.progress({"doing": ACCOUNTING})
    with setup.clock.apart("metering"):
        if setup.ranks.size == 1:
            setup.meter.account(again or act, setup.state.step, batch_of, number)
        else:  # the other ranks would be waited for
            setup.meter.note_lack(batch_of, number)
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
