"""Many tiny cells under random kill -9 of the driver, of cells and of what cells fork.

The driver is started again until it ends by itself. Then there must be one whole record for every
cell, none written after it was final, with the scores and losses that the same cells have in one
process that nobody disturbs.

    python benchmarks/survival.py [--cells 200] [--seed 0] [--pause 3 20] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from harness.cell import run_cell
from harness.command import BAD_INPUT
from harness.record import Record
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUITE = """\
name: survival
model: {{config: tiny-bert}}
tasks: [{{name: acceptability, train_rows: 64, evaluation_rows: 64}}]
methods: [full, bitfit, lora, {{safe: {{over: lora, tau: {{quantile: 0.6}}, t_f: {{epochs: 1}},
                                          max_warmup: 2, probe: 16}}}}]
seeds: {seeds}
train: {{batch_size: 8, max_length: 16, epochs: 4, lr: 5.0e-3}}
"""


def start(suite: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the driver; its words go to a file beside the run."""
    command = [sys.executable, "-m", "harness.run", str(suite), "--out", str(out)]
    with out.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def kill_one(driver: subprocess.Popen[bytes], dice: random.Random) -> str | None:
    """Kill the driver, its cell or a process that the cell forked; returns which, if any."""
    try:
        cells = psutil.Process(driver.pid).children()
        forks = [fork for cell in cells for fork in cell.children(recursive=True)]
        whom = dice.choice(["driver", "cell", "fork"])
        victims = {"driver": [psutil.Process(driver.pid)], "cell": cells, "fork": forks}[whom]
        if not victims:
            return None
        dice.choice(victims).send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return None
    return whom


def final(store: Store, cells: list[Cell]) -> dict[str, int]:
    """Return when each final record was written."""
    return {c.path: store.record_file(c).stat().st_mtime_ns for c in cells if store.is_done(c)}


def survive(suite: Path, out: Path, pause: tuple[float, float], seed: int) -> Counter[str]:
    """Run the suite to its end under kills; returns how many of each, and of second writes."""
    dice, store, cells = random.Random(seed), Store(out), load_suite(suite).cells()
    counts: Counter[str] = Counter()
    driver, before = start(suite, out), dict[str, int]()
    while True:
        until = time.monotonic() + dice.uniform(*pause)
        while driver.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        now = final(store, cells)
        counts["written twice"] += sum(now.get(path) != when for path, when in before.items())
        before = now
        if driver.poll() is not None:
            if len(now) == len(cells):
                return counts
            if driver.returncode == BAD_INPUT:
                raise SystemExit(out.with_suffix(".log").read_text())
            counts["starts"] += 1
            driver = start(suite, out)
        elif (whom := kill_one(driver, dice)) is not None:
            counts[whom] += 1


def _facts(record: Record) -> list[object]:
    """Return what a disturbance would change: to the last digit, so that few cells are alike."""
    return [record.scores, record.final_loss, record.history]


def main() -> None:
    """Survive, then compare with an undisturbed process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, nargs=2, default=(3.0, 20.0))
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    suite = folder / "survival.yaml"
    suite.write_text(SUITE.format(seeds=list(range(-(-asked.cells // 4)))))
    began = time.monotonic()
    counts = survive(suite, folder / "run", tuple(asked.pause), asked.seed)
    print(f"{time.monotonic() - began:.0f} s; {dict(counts)}", flush=True)
    store, cells = Store(folder / "run"), load_suite(suite).cells()
    records = [store.read(cell) for cell in cells]
    whole = [record for record in records if record is not None and record.outcome == "ok"]
    alone = [run_cell(cell, lambda _news: None) for cell in cells]
    same = sum(_facts(a) == _facts(b) for a, b in zip(whole, alone, strict=False))
    different = len({str(_facts(record)) for record in alone})
    files = len(list((folder / "run" / "records").rglob("*.json")))
    attempts = sum(len(record.attempts) for record in whole)
    taken_up = sum(bool(record.resumed_at) for record in whole)
    print(
        f"{len(cells)} cells: {files} files, {len(whole)} ok, {same} with the scores and losses "
        f"of an undisturbed process ({different} different ones); {attempts} attempts repeated, "
        f"{taken_up} cells taken up"
    )


if __name__ == "__main__":
    main()
