"""The processes of one cell, as each of them sees the others.

A cell whose training is data parallel runs in several processes, its ranks: each does all that a
run alone does, on its own share of every batch. What they have to tell each other goes through
here; a run alone talks to nobody, and needs nothing of this but `ALONE`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from zlib import crc32

from harness.errors import UserError
from harness.gpus import too_few
from harness.out_of_memory import OutOfMemory
from harness.part import Part

T = TypeVar("T")
# A hung cell is ended by the engine's own limits (--silent-minutes), which say where it hangs.
PATIENCE = timedelta(hours=12)


class Lost(Part):
    """How a rank ended that should not have.

    Attributes:
        message: in words, and which rank it was.
        out_of_memory: what it was at, where memory ran out.
    """

    outcome: Literal["oom", "crashed"]
    message: str
    out_of_memory: OutOfMemory | None = None


class RanksDiffer(RuntimeError):
    """Ranks that must do the same do not: each would train a model of its own."""


class Ranks:
    """One process alone, and the contract of several.

    Attributes:
        rank: of this process, from 0.
        size: processes of the cell.
    """

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes what one process writes: checkpoints, exports, the record."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Return this rank's items: every `size`-th one."""
        return list(items[self.rank :: self.size])

    def gather(self, value: T) -> list[T]:
        """Return what each rank has, in their order; all of them call this."""
        return [value]

    def first_says(self, ask: Callable[[], T]) -> T:
        """Return what rank 0 answers, which alone is asked."""
        return ask()

    def mean(self, value: float) -> float:
        """Return the mean over the ranks."""
        return value

    def pulse(self, digest: int, *flags: bool) -> list[bool]:
        """Return rank 0's flags.

        Raises:
            RanksDiffer: the ranks have other digests.
        """
        return list(flags)

    def agree(self, what: str, value: Any) -> None:
        """Hold all ranks to the same value of something.

        Raises:
            RanksDiffer: they differ in it.
        """

    def ran_out(self) -> Lost | None:
        """Return how another rank ran out of memory; None: none did."""
        return None

    def leave(self) -> None:
        """End the talk."""


ALONE = Ranks()


class Joined(Ranks):
    """One of several processes on one machine; accelerate has brought them together.

    Talk goes over gloo between the hosts, apart from the gradients, which go over the devices' own
    library: it neither waits for a GPU nor takes of its memory.
    """

    def __init__(
        self, rank: int, size: int, meeting: Path, ran_out: Callable[[], Lost | None] | None = None
    ) -> None:
        """Wait until all ranks are there. Of GPUs, each takes the one of its rank.

        Args:
            rank: of this process.
            size: processes.
            meeting: a file that all of them see, and that none has made yet.
            ran_out: answers for `ran_out`.

        Raises:
            UserError: this machine has GPUs, and too few of them.
        """
        import torch
        import torch.distributed as dist

        cuda = torch.cuda.is_available()
        if cuda and torch.cuda.device_count() < size:
            raise UserError(too_few(size, torch.cuda.device_count()))
        self.rank, self.size, self._ran_out = rank, size, ran_out
        _start(rank, size, meeting, cuda=cuda)

        self._dist: Any = dist
        self._hosts = dist.new_group(backend="gloo", timeout=PATIENCE)

    def gather(self, value: T) -> list[T]:
        """Return what each rank has, in their order; all of them call this."""
        found: list[Any] = [None] * self.size
        self._dist.all_gather_object(found, value, group=self._hosts)
        return found

    def first_says(self, ask: Callable[[], T]) -> T:
        """Return what rank 0 answers, which alone is asked."""
        return self.gather(ask() if self.is_first else None)[0]  # type: ignore[return-value]

    def mean(self, value: float) -> float:
        """Return the mean over the ranks, summed in their order: the same on all of them."""
        return sum(self.gather(value)) / self.size

    def pulse(self, digest: int, *flags: bool) -> list[bool]:
        """Return rank 0's flags; the cheapest talk there is, for every step."""
        import torch

        mine = torch.tensor([digest, *flags], dtype=torch.int64)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        self._dist.all_gather(every, mine, group=self._hosts)
        if any(int(other[0]) != digest for other in every):
            raise RanksDiffer("the method has other tensors train on one rank than on another")
        return [bool(flag) for flag in every[0][1:]]

    def agree(self, what: str, value: Any) -> None:
        """Hold all ranks to the same value of something, by its digest."""
        if len(set(self.gather(digest_of(value)))) > 1:
            raise RanksDiffer(f"the ranks differ in {what}")

    def ran_out(self) -> Lost | None:
        """Return how another rank ran out of memory, as far as this one is told."""
        return self._ran_out() if self._ran_out else None

    def leave(self) -> None:
        """End the talk, when all are done with it."""
        self._dist.destroy_process_group()


def digest_of(value: Any) -> int:
    """Return a number that two values share if they print alike."""
    return crc32(repr(value).encode())


def _start(rank: int, size: int, meeting: Path, *, cuda: bool) -> None:
    """Let accelerate make the group of all ranks: NCCL's on GPUs, gloo's on the CPU."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size)
    )
    # All are on this machine. Where its name leads nowhere, gloo finds no interface by itself.
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    from accelerate import PartialState
    from accelerate.utils import check_cuda_p2p_ib_support

    place = f"file://{meeting}"
    if not cuda:
        PartialState(cpu=True, init_method=place, timeout=PATIENCE)
        return
    if not check_cuda_p2p_ib_support():  # RTX 40: what `accelerate launch` does for them
        os.environ.setdefault("NCCL_P2P_DISABLE", "1")
        os.environ.setdefault("NCCL_IB_DISABLE", "1")
    PartialState(init_method=f"{place}?rank={rank}&world_size={size}", timeout=PATIENCE)
