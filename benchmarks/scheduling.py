"""How near a sweep of many cells on many GPUs comes to the ideal, by the queue that engines use.

Nothing runs: the clock is simulated, and so are the cells. Their durations are spread as those of
sweeps are, over two orders of magnitude; the forecast FLOPs, by which the longest goes first, tell
them with an error. The ideal is what no order can beat: the longest cell, or all the work, lost
attempts too and each cell where it ran, divided among all GPUs.

    python benchmarks/scheduling.py [--cells 1000] [--gpus 64] [--seeds 20]
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Queue, Turn
from harness.models.spec import ModelSpec
from harness.suite.cell import Cell
from harness.suite.entries import TaskEntry
from harness.suite.settings import TrainSettings
from harness.units import GIB

# Cards of a mixed cluster: name, usable GiB, speed against the first.
MIXED = (("rtx4090", 23.65, 1.0), ("a6000", 47.54, 0.8), ("a100-80", 79.15, 1.6))
START = 20.0  # seconds of a process before its first step, which FLOPs do not tell
BACK_OFF = 5.0


@dataclass(frozen=True)
class Sweep:
    """What is simulated.

    Attributes:
        cells, gpus: how many.
        error: standard deviation of the logarithm of real over forecast seconds.
        crashes: share of attempts that end halfway and are tried again.
        mixed: cards of three kinds, and a quarter of the cells too large for the smallest.
    """

    cells: int = 1000
    gpus: int = 64
    error: float = 0.3
    crashes: float = 0.0
    mixed: bool = False


def durations(sweep: Sweep, dice: random.Random) -> list[float]:
    """Return the cells' seconds on the first card: models, tasks and methods multiply."""
    models, tasks, methods = (1.0, 3.0, 8.0), (60.0, 150.0, 400.0, 1200.0), (0.7, 0.8, 1.0, 1.2)
    return [
        START + dice.choice(models) * dice.choice(tasks) * dice.choice(methods)
        for _ in range(sweep.cells)
    ]


def cell(number: int) -> Cell:
    """Return a cell that is told apart by its seed alone."""
    return Cell.model_construct(
        suite="sweep", method="lora", method_options={}, method_label="lora",
        model=ModelSpec(config="tiny-bert"), task=TaskEntry.model_construct(name="rte"),
        seed=number, protocol="plain", data_root=None, train=TrainSettings(), axes={}, analyses={},
    )  # fmt: skip


def fleet(sweep: Sweep) -> list[Device]:
    """Return the GPUs, eight in a machine."""
    kinds = MIXED if sweep.mixed else MIXED[:1]
    return [
        Device(f"{n}", kind, int(gib * GIB), host=f"node{n // 8}")
        for n in range(sweep.gpus)
        for kind, gib, _ in [kinds[n // 8 % len(kinds)]]
    ]


def simulate(
    queue: Queue, seconds: Callable[[Placed], float], crashes: Callable[[], bool]
) -> tuple[float, float]:
    """Run all of a queue's cells on a clock of its own.

    Args:
        queue: it.
        seconds: that a cell takes where it was placed.
        crashes: whether an attempt ends halfway.

    Returns:
        When the last cell ends, and the seconds of all attempts together.
    """
    now, worked, ends = 0.0, 0.0, list[tuple[float, int, Placed, bool]]()
    started = 0
    while len(queue) or ends:
        while (placed := queue.next(now)) is not None:
            crashed = crashes()
            took = seconds(placed) * (0.5 if crashed else 1.0)
            worked += took
            started += 1
            heapq.heappush(ends, (now + took, started, placed, crashed))
        wakes = queue.wakes(now)
        if ends and (wakes is None or ends[0][0] <= now + wakes):
            now, _, placed, crashed = heapq.heappop(ends)
            queue.ended(placed)
            if crashed:
                queue.put_back(placed.turn.again("crashed", now + BACK_OFF))
        else:
            assert wakes is not None, "nothing runs, and nothing ever may"
            now += wakes
    return now, worked


def efficiency(sweep: Sweep, seed: int, *, in_order: bool = False) -> float:
    """Return the ideal time of a sweep over that which the queue takes.

    Args:
        sweep: it.
        seed: of its durations.
        in_order: as the suite has them, in place of the longest first.
    """
    dice = random.Random(seed)
    forecast, devices = durations(sweep, dice), fleet(sweep)
    real = {f"s{n}": told * dice.lognormvariate(0.0, sweep.error)
            for n, told in enumerate(forecast)}  # fmt: skip
    speed = {kind: fast for kind, _, fast in MIXED}
    kinds = {device.kind for device in devices}
    turns = []
    for number, told in enumerate(forecast):
        size = int((40 if sweep.mixed and dice.random() < 0.25 else 12) * GIB)
        need = Need(1, tuple((kind, size) for kind in sorted(kinds)), None if in_order else told)
        turns.append(Turn(cell(number), need))

    def seconds(placed: Placed) -> float:
        name = placed.turn.cell.path.rpartition("/")[2]
        return real[name] / (speed[placed.devices[0].kind] if sweep.mixed else 1.0)

    last, worked = simulate(Queue(turns, devices), seconds, lambda: dice.random() < sweep.crashes)
    ideal = max(max(real.values()) / max(speed[kind] for kind in kinds), worked / len(devices))
    return ideal / last


CASES: Sequence[tuple[str, dict[str, Any]]] = (
    ("forecast right", {"error": 0.0}),
    ("forecast off by 30 %", {"error": 0.3}),
    ("forecast off by a factor of 2", {"error": 0.7}),
    ("off by 30 %, 2 % of attempts crash", {"error": 0.3, "crashes": 0.02}),
    ("off by 30 %, three kinds of cards", {"error": 0.3, "mixed": True}),
)


def main() -> None:
    """Print the efficiency of every case, and of the suite's order beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    print(f"{asked.cells} cells on {asked.gpus} GPUs: ideal time over real time, mean (least) of "
          f"{asked.seeds} sweeps")  # fmt: skip
    print(f"{'':36}  longest first     in the suite's order")
    for name, settings in CASES:
        sweep = Sweep(asked.cells, asked.gpus, **settings)
        told = []
        for in_order in (False, True):
            found = [efficiency(sweep, seed, in_order=in_order) for seed in range(asked.seeds)]
            told.append(f"{100 * fmean(found):.1f} % ({100 * min(found):.1f} %)")
        print(f"{name:36}  {told[0]:16}  {told[1]}")


if __name__ == "__main__":
    main()
