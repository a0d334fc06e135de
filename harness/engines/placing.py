"""Which cell runs next and where: the longest that is ready, on devices with room for it.

No threads, no clock and no processes: an engine asks what to start, and tells what has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.engines.needs import Need
from harness.units import gib

if TYPE_CHECKING:
    from harness.out_of_memory import Batches
    from harness.suite.cell import Cell


@dataclass(frozen=True)
class Device:
    """Where cells run: one GPU, or the CPU of a machine.

    Attributes:
        name: unlike that of any other device of the fleet; on one machine as CUDA numbers it.
        kind: the card's name, as needs have it.
        memory: bytes that its cells may hold together.
        host: the machine; the devices of one cell are of one machine and one kind.
        places: how many cells it may run at a time.
    """

    name: str
    kind: str
    memory: int
    host: str = ""
    places: int = 1


@dataclass(frozen=True)
class Turn:
    """A cell that waits.

    Attributes:
        cell: it.
        need: what it asks for.
        attempts: how its earlier attempts in this run ended.
        not_before: time of the engine's clock, in seconds.
        alone: on its devices, whatever their places.
        batches: to run it with, where its own did not fit.
        halvings: attempts among the earlier ones whose batches did not fit.
    """

    cell: Cell
    need: Need = field(default_factory=Need)
    attempts: tuple[str, ...] = ()
    not_before: float = 0.0
    alone: bool = False
    batches: Batches | None = None
    halvings: int = 0

    def again(self, ended: str, not_before: float = 0.0, *, alone: bool = False) -> Turn:
        """Return the turn of another attempt, after one that ended so."""
        attempts = (*self.attempts, ended)
        return replace(self, attempts=attempts, not_before=not_before, alone=self.alone or alone)


@dataclass(frozen=True)
class Placed:
    """A turn and the devices that were given to it."""

    turn: Turn
    devices: tuple[Device, ...]

    @property
    def shares(self) -> bool:
        """Whether other cells may run on its devices meanwhile."""
        return not _alone(self.turn, self.devices[0]) and self.devices[0].places > 1

    def told(self) -> dict[str, Any]:
        """Return what the cell's process is told of its turn, as `Order` has it."""
        return {
            "cell": self.turn.cell.model_dump(mode="json"),
            "attempts": list(self.turn.attempts),
            "batches": self.turn.batches,
            "beside": self.devices[0].places - 1 if self.shares else 0,
        }


class Queue:
    """Cells that wait and devices that run some; where no need is known in the order given.

    A cell of unknown FLOPs may be the longest and goes first. The first cell that finds no room
    keeps the devices that will have it soonest, so that shorter ones cannot keep it waiting; those
    go past it to the other devices. A cell of unknown memory has its devices to itself.
    """

    def __init__(self, turns: Iterable[Turn], devices: Iterable[Device]) -> None:
        self.devices = {device.name: device for device in devices}
        self._order: dict[str, int] = {}
        self._waiting = sorted(turns, key=self._rank)
        self._running: dict[str, list[Placed]] = {name: [] for name in self.devices}

    def __len__(self) -> int:
        """Return how many cells wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many cells run."""
        return len({id(placed) for there in self._running.values() for placed in there})

    def refused(self) -> list[tuple[Turn, str]]:
        """Take out the cells that no device will ever have room for, and why."""
        found = [(turn, why) for turn in self._waiting if (why := self.unfit(turn.need))]
        gone = {id(turn) for turn, _ in found}
        self._waiting = [turn for turn in self._waiting if id(turn) not in gone]
        return found

    def unfit(self, need: Need) -> str | None:
        """Say why a cell with this need can run nowhere, were all devices idle; None: it can."""
        devices = [*self.devices.values()]
        if not devices:
            return "there is no device"
        most = max(len(group) for group in _machines(devices))
        if need.devices > most:
            return f"asks for {need.devices} devices of one machine and kind; the most are {most}"
        if any(len(group) >= need.devices for group in _machines(_large_enough(need, devices))):
            return None
        groups = [group for group in _machines(devices) if len(group) >= need.devices]
        largest = {max(group, key=lambda device: device.memory) for group in groups}
        told = {one.kind: f"{one.kind} {gib(need.on(one.kind))} of {gib(one.memory)} GiB"
                for one in sorted(largest, key=lambda one: one.memory)}  # fmt: skip
        return f"does not fit by its forecast: {', '.join(told.values())}"

    def next(self, now: float) -> Placed | None:
        """Return the next cell to start, with its devices, which are taken then; None: none now."""
        kept: set[str] = set()
        tried: set[tuple[Need, bool]] = set()
        if all(self._is_full(device) for device in self.devices.values()):
            return None
        for turn in self._waiting:
            if turn.not_before > now or (alike := (turn.need, turn.alone)) in tried:
                continue
            found = self._room(turn, kept)
            if found:
                placed = Placed(turn, found)
                self._waiting.remove(turn)
                for device in found:
                    self._running[device.name].append(placed)
                return placed
            if not tried:
                kept = self._kept_for(turn)
            tried.add(alike)
        return None

    def ended(self, placed: Placed) -> None:
        """Give back what a cell had; devices that have left meanwhile are no matter."""
        for device in placed.devices:
            there = self._running.get(device.name, [])
            self._running[device.name] = [one for one in there if one is not placed]

    def put_back(self, turn: Turn) -> None:
        """Let a cell wait again."""
        self._waiting = sorted([*self._waiting, turn], key=self._rank)

    def wakes(self, now: float) -> float | None:
        """Return the seconds until a cell that waits for its time may start; None: none does."""
        later = [turn.not_before - now for turn in self._waiting if turn.not_before > now]
        return min(later, default=None)

    def join(self, device: Device) -> None:
        """Take a device into the fleet; one of that name is replaced, and keeps its cells."""
        self.devices[device.name] = device
        self._running.setdefault(device.name, [])

    def leave(self, name: str) -> list[Placed]:
        """Take a device out of the fleet; returns the cells that ran there, to be `ended`."""
        self.devices.pop(name, None)
        return self._running.pop(name, [])

    def drain(self) -> list[Turn]:
        """Take out all that waits."""
        left, self._waiting = self._waiting, []
        return left

    def _rank(self, turn: Turn) -> tuple[float, int]:
        flops = turn.need.flops
        number = self._order.setdefault(turn.cell.path, len(self._order))
        return (-float("inf") if flops is None else -flops, number)

    def _room(self, turn: Turn, kept: set[str]) -> tuple[Device, ...]:
        """Return devices that have room now: idle ones first, of these the smallest."""
        open_ = [device for device in self.devices.values()
                 if device.name not in kept and self._admits(device, turn)]  # fmt: skip
        return self._chosen(turn.need, open_)

    def _kept_for(self, turn: Turn) -> set[str]:
        """Return the devices that will soonest have room: those with the least to wait for."""
        large = _large_enough(turn.need, self.devices.values())
        return {device.name for device in self._chosen(turn.need, large)}

    def _chosen(self, need: Need, devices: Sequence[Device]) -> tuple[Device, ...]:
        def busy(device: Device) -> tuple[int, int]:
            return len(self._running[device.name]), device.memory

        groups = [sorted(group, key=busy)[: need.devices] for group in _machines(devices)]
        whole = [group for group in groups if len(group) == need.devices]
        return tuple(min(whole, key=lambda group: max(map(busy, group)), default=()))

    def _is_full(self, device: Device) -> bool:
        there = self._running[device.name]
        return len(there) >= device.places or any(_alone(one.turn, device) for one in there)

    def _admits(self, device: Device, turn: Turn) -> bool:
        if self._is_full(device):
            return False
        there = self._running[device.name]
        wanted = turn.need.on(device.kind)
        if _alone(turn, device) or wanted is None:
            return not there and (wanted is None or wanted <= device.memory)
        held = sum(placed.turn.need.on(device.kind) or 0 for placed in there)
        return held + wanted <= device.memory


def _alone(turn: Turn, device: Device) -> bool:
    """Tell whether a turn has a device of this kind to itself."""
    return turn.alone or turn.need.on(device.kind) is None


def _large_enough(need: Need, devices: Iterable[Device]) -> list[Device]:
    return [device for device in devices if (need.on(device.kind) or 0) <= device.memory]


def _machines(devices: Iterable[Device]) -> Iterator[list[Device]]:
    """Yield the devices of one machine and kind together."""

    def of(device: Device) -> tuple[str, str]:
        return device.host, device.kind

    for _, group in groupby(sorted(devices, key=of), key=of):
        yield list(group)
