"""Many tiny cells under random kill -9 of the driver, of cells and of what cells fork.

The driver is started again until it ends by itself. Then there must be one whole record for every
cell, none written after it was final, with the scores and losses that the same cells have in one
process that nobody disturbs. What an engine costs is the time of a cell there beyond its own here,
in seconds of the processor, too, which say something also where others keep the machine busy. A
benchmark that was ended goes on in the same folder.

    python benchmarks/fleet.py [--cells 200] [--engine local] [--jobs 2] [--seed 0]
        [--pause 3 20] [--calm] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

from harness.cell import run_cell
from harness.command import BAD_INPUT
from harness.record import Record
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUITE = """\
name: fleet
model: {{config: tiny-bert}}
tasks: [{{name: acceptability, train_rows: 16, evaluation_rows: 8}}]
methods: [full, bitfit, lora, {{safe: {{over: lora, tau: {{quantile: 0.6}}, t_f: {{epochs: 1}},
                                          max_warmup: 2, probe: 8}}}}]
seeds: {seeds}
train: {{batch_size: 8, max_length: 12, epochs: 4, lr: 5.0e-3}}
"""
WORKER = "harness.engines.worker"

Victims = Callable[[psutil.Process], list[psutil.Process]]


def driver_itself(driver: psutil.Process) -> list[psutil.Process]:
    """Return what the user started."""
    return [driver]


def cells_of(driver: psutil.Process) -> list[psutil.Process]:
    """Return the processes of the cells that run now."""
    return [
        one for one in driver.children(recursive=True) if leads(one) and WORKER in one.cmdline()
    ]


def leads(process: psutil.Process) -> bool:
    """Tell whether a process leads its group, as a cell's does; what it forks does not."""
    return os.getpgid(process.pid) == process.pid


def named(name: str) -> Victims:
    """Return what finds processes of this name, or whose command line begins with it."""

    def found(driver: psutil.Process) -> list[psutil.Process]:
        below = driver.children(recursive=True)
        return [one for one in below if name == one.name() or name in " ".join(one.cmdline()[:3])]

    return found


def forks_of(driver: psutil.Process) -> list[psutil.Process]:
    """Return what the cells have forked."""
    return [fork for cell in cells_of(driver) for fork in cell.children(recursive=True)]


# By engine: what is killed, and the processes that it may be.
VICTIMS: dict[str, dict[str, Victims]] = {
    "local": {"driver": driver_itself, "cell": cells_of, "fork": forks_of},
    "ray": {
        "driver": driver_itself,
        "cell": cells_of,
        "Ray's worker": named("ray::run_here"),
        "raylet": named("raylet"),
        "gcs_server": named("gcs_server"),
        "Ray's driver": named("harness.engines.ray_driver"),
    },
}


@dataclass
class Fleet:
    """A suite that is run to its end, whoever kills what meanwhile.

    Attributes:
        suite, out: its file and its run folder.
        engine, jobs: as `run` has them.
        pause: seconds between two kills, at least and at most; None: nothing is killed.
        counts: kills by victim, starts of the driver, records written again after they were final.
    """

    suite: Path
    out: Path
    engine: str = "local"
    jobs: int = 2
    pause: tuple[float, float] | None = (3.0, 20.0)
    counts: Counter[str] = field(default_factory=Counter)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the driver; its words go to a file beside the run."""
        command = [sys.executable, "-m", "harness.run", str(self.suite), "--out", str(self.out),
                   "--engine", self.engine, "--jobs", str(self.jobs)]  # fmt: skip
        self.counts["starts"] += 1
        with self.out.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def run(self, seed: int = 0) -> float:
        """Run to the end; returns the seconds from the first start to the last cell's record."""
        dice, store, cells = random.Random(seed), Store(self.out), load_suite(self.suite).cells()
        notes = self.out.with_suffix(".json")
        noted = json.loads(notes.read_text()) if notes.exists() else {"wall": 0.0, "counts": {}}
        began, before = time.monotonic() - noted["wall"], final(store, cells)
        self.counts.update(noted["counts"])
        driver = self.start()
        while True:
            self._wait(driver, dice)
            noted = {"wall": time.monotonic() - began, "counts": dict(self.counts)}
            notes.write_text(json.dumps(noted))
            now = final(store, cells)
            written = sum(now.get(path) != when for path, when in before.items())
            self.counts["written twice"] += written
            before = now
            if driver.poll() is None:
                self._kill_one(driver, dice)
            elif len(now) == len(cells):
                return time.monotonic() - began
            elif driver.returncode == BAD_INPUT and not self._is_in_use():
                raise SystemExit(self.out.with_suffix(".log").read_text())
            else:
                driver = self.start()

    def _is_in_use(self) -> bool:
        """Tell whether the driver was refused because what a killed one left has not ended yet."""
        words = self.out.with_suffix(".log").read_text().splitlines()
        return any("is in use by" in line for line in words[-20:])  # that one may report, too

    def _wait(self, driver: subprocess.Popen[bytes], dice: random.Random) -> None:
        pause = dice.uniform(*self.pause) if self.pause else float("inf")
        until = time.monotonic() + pause
        while driver.poll() is None and time.monotonic() < until:
            time.sleep(0.05)

    def _kill_one(self, driver: subprocess.Popen[bytes], dice: random.Random) -> None:
        """Kill one of a kind that is drawn, if there is one now."""
        kinds = VICTIMS[self.engine]
        whom = dice.choice([*kinds])
        try:
            found = kinds[whom](psutil.Process(driver.pid))
            if found:
                dice.choice(found).send_signal(signal.SIGKILL)
                self.counts[whom] += 1
        except (psutil.NoSuchProcess, ProcessLookupError):
            return


def final(store: Store, cells: Sequence[Cell]) -> dict[str, int]:
    """Return when each final record was written."""
    return {c.path: store.record_file(c).stat().st_mtime_ns for c in cells if store.is_done(c)}


def facts(record: Record) -> list[object]:
    """Return what a disturbance would change: to the last digit, so that few cells are alike."""
    return [record.scores, record.final_loss, record.history]


def processor() -> float:
    """Return the seconds of the processor that this process and those that ended took."""
    return sum(sum(resource.getrusage(who)[:2])
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip


def undisturbed(cells: Sequence[Cell]) -> tuple[list[Record], list[tuple[float, float]]]:
    """Run the cells one after the other in this process; returns their records and seconds.

    The seconds are of the clock, and of the processor.
    """
    records, seconds = [], []
    for cell in cells:
        began, worked = time.monotonic(), processor()
        records.append(run_cell(cell, lambda _news: None))
        seconds.append((time.monotonic() - began, processor() - worked))
    return records, seconds


def compared(
    fleet: Fleet,
    taken: tuple[float, float],
    alone: Sequence[Record],
    each: tuple[float, float],
) -> dict[str, object]:
    """Return what came out: all cells, none twice, the same numbers, and what it cost.

    `taken` are all seconds of the clock and of the processor; `each` those of a cell by itself.
    What was killed is not reaped by this process, so the processor's are told of calm runs alone.
    """
    wall, worked = taken
    store, cells = Store(fleet.out), load_suite(fleet.suite).cells()
    records = [store.read(cell) for cell in cells]
    whole = [record for record in records if record is not None and record.outcome == "ok"]
    same = sum(facts(a) == facts(b) for a, b in zip(whole, alone, strict=len(whole) == len(alone)))
    return {
        "engine": fleet.engine,
        "jobs": fleet.jobs,
        "cells": len(cells),
        "record files": len(list((fleet.out / "records").rglob("*.json"))),
        "ok": len(whole),
        "as undisturbed": same,
        "distinct": len({str(facts(record)) for record in alone}),
        **fleet.counts,
        "attempts repeated": sum(len(record.attempts) for record in whole),
        "taken up": sum(bool(record.resumed_at) for record in whole),
        "wall seconds": round(wall, 1),
        "seconds of a cell": round(wall * fleet.jobs / len(cells), 2),
        "alone": round(each[0], 2),
        "overhead of a cell": round(wall * fleet.jobs / len(cells) - each[0], 2),
        **(
            {}
            if fleet.pause
            else {
                "processor seconds of a cell": round(worked / len(cells), 2),
                "processor seconds alone": round(each[1], 2),
            }
        ),
    }


def main() -> None:
    """Survive, then compare with an undisturbed process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--engine", choices=[*VICTIMS], default="local")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, nargs=2, default=(3.0, 20.0))
    parser.add_argument("--calm", action="store_true", help="kill nothing")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    suite = folder / "fleet.yaml"
    suite.write_text(SUITE.format(seeds=list(range(-(-asked.cells // 4)))))
    pause = None if asked.calm else tuple(asked.pause)
    fleet = Fleet(suite, folder / "run", asked.engine, asked.jobs, pause)
    before = processor()
    wall = fleet.run(asked.seed)
    taken = wall, processor() - before
    print(f"{wall:.0f} s; {dict(fleet.counts)}", flush=True)
    alone, seconds = undisturbed(load_suite(suite).cells())
    each = median(clock for clock, _ in seconds), median(worked for _, worked in seconds)
    print(json.dumps(compared(fleet, taken, alone, each), indent=1))


if __name__ == "__main__":
    main()
