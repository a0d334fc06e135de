"""Runs that are ended at random steps and taken up again: do they end with the same bytes?

Every run is a process of its own. SIGTERM asks it for a checkpoint, kill -9 leaves it the last one
that it wrote by itself; either comes at a random moment of a random step. What must be the same to
the last byte as in a run that nobody disturbs: every tensor that trains, the optimizer's state,
what the method keeps, the random generators and the schedule behind the last step, and the record
but for times and for where it was taken up.

    python benchmarks/resume.py [--kills 10] [--methods lora aflora safe adalora] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from harness.cell import run_cell
from harness.forecasting import own_run
from harness.forecasting.pool import preload
from harness.foreseen import RunForecast
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted
from harness.training.saved import Saved, read_state
from harness.training.setup import Setup

SUITE = """\
name: resumed
model: {config: tiny-bert}
tasks: [{name: acceptability, train_rows: 32, evaluation_rows: 16}]
methods:
  - {lora: {r: 4, dropout: 0.1}}
  - {aflora: {r: 4, rule: official, t_f: {fraction: 0.6}, interval: 2}}
  - {safe: {over: {lora: {r: 4, dropout: 0.1}}, tau: {quantile: 0.6}, max_warmup: 2,
            t_f: {epochs: 3}, probe: 16}}
  - {adalora: {init_r: 6, target_r: 2, delta_t: 2}}
train: {batch_size: 8, max_length: 12, epochs: 6, lr: 5.0e-3, weight_decay: 0.1, evaluate: epoch}
"""
STEPS = 24  # four an epoch
# Times, where a run ran, and where it was taken up.
TIMES = frozenset(
    {"started", "seconds", "time", "environment", "resumed_at", "step_median", "clock"}
)


class NoForecast:
    """In place of the run's own: it is made before the first step, wherever the run is ended."""

    def of(self, cell: Cell, setup: Setup) -> RunForecast:
        """Return none."""
        return RunForecast(target="", steps=[], error="not asked for")


class Watched(Checkpoints):
    """Saves behind every `gap`-th step and behind the last one; what it saved there stays.

    Attributes:
        done: optimizer steps of the run, as its progress tells them.
        num_steps: of the run.
    """

    def __init__(self, folder: Path, gap: int) -> None:
        super().__init__(folder, every=float("inf"))
        self.gap, self.done, self.num_steps = gap, 0, -1

    def due(self) -> bool:
        """Tell whether this is such a step."""
        return self.wanted or self.done % self.gap == 0 or self.done == self.num_steps

    def save(self, state: Saved) -> str | None:
        """Save; behind the last step also in `final`."""
        trouble = super().save(state)
        if self.done == self.num_steps:
            shutil.copytree(self.folder, self.folder.with_name("final"), dirs_exist_ok=True)
        return trouble


def child(cell: Cell, folder: Path, gap: int, pipe: Connection) -> None:
    """Run the cell from where its folder has it; tells every step, and leaves its record."""
    checkpoints = Watched(folder / "checkpoint", gap)
    signal.signal(signal.SIGTERM, lambda *_: setattr(checkpoints, "wanted", True))

    def hear(news: dict[str, Any]) -> None:
        if "step" in news:
            checkpoints.done, checkpoints.num_steps = news["step"], news["steps"]
            pipe.send(news["step"])

    try:
        record = run_cell(cell, hear, checkpoints)
    except Interrupted:
        os._exit(128 + signal.SIGTERM)
    (folder / "record.json").write_text(record.model_dump_json())
    os._exit(0)


def run(
    cell: Cell, folder: Path, gap: int, ended: signal.Signals | None, dice: random.Random
) -> str:
    """Run the cell in a fork; ends it at a random moment by the signal, if one is given.

    Returns:
        How it ended: `done`, or the step at which it was ended.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(cell, folder, gap, theirs))
    process.start()
    theirs.close()
    at, step = dice.randrange(1, STEPS), 0
    try:
        while True:
            step = ours.recv()
            if ended is not None and step == at:
                time.sleep(dice.uniform(0, 0.05))  # of the next step, or of a checkpoint's writing
                os.kill(process.pid or 0, ended)
    except EOFError:
        process.join()
    if process.exitcode == 0:
        return "done"
    if process.exitcode not in (-signal.SIGKILL, 128 + signal.SIGTERM):
        raise SystemExit(f"{cell.path}: exit code {process.exitcode}")
    return f"ended at step {step}"


def left(folder: Path) -> dict[str, Any]:
    """Return all that must be the same, by flat names: tensors, numbers and words."""
    state = read_state(folder / "final")["state"]
    record = json.loads((folder / "record.json").read_text())
    return dict(_flat({"state": state, "record": record}))


def _flat(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in TIMES:
                yield from _flat(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{number}")
    else:
        yield name, value


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what is not the same."""
    return [
        name
        for name in dict.fromkeys((*one, *other))
        if not (name in one and name in other and _same(one[name], other[name]))
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def main() -> None:
    """End runs, take them up and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--methods", nargs="*", default=["lora", "aflora", "safe", "adalora"])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    top = Path(tempfile.mkdtemp())
    (top / "resumed.yaml").write_text(SUITE)
    cells = [cell for cell in load_suite(top / "resumed.yaml").cells()
             if cell.method in asked.methods]  # fmt: skip
    own_run.OwnForecast = NoForecast  # type: ignore[assignment, misc]
    preload(whole=True)
    dice, wrong = random.Random(asked.seed), 0
    for cell in cells:
        began, whole = time.monotonic(), top / cell.method / "whole"
        whole.mkdir(parents=True)
        run(cell, whole, 1, None, dice)
        expected = left(whole)
        for how in (signal.SIGTERM, signal.SIGKILL):
            same, told = 0, list[str]()
            for number in range(asked.kills):
                folder = top / cell.method / f"{how.name}-{number}"
                folder.mkdir()
                gap = dice.choice((1, 3, 7))
                told.append(run(cell, folder, gap, how, dice))
                taken_up = run(cell, folder, gap, None, dice)
                assert taken_up == "done"
                found = differences(expected, left(folder))
                same += not found
                if found:
                    print(f"  {how.name} {told[-1]}, checkpoint every {gap}: {found[:6]}")
            wrong += asked.kills - same
            steps = ", ".join(text.rpartition(" ")[2] for text in told)
            print(f"{cell.method}: {how.name} at steps {steps}: {same} of {asked.kills} runs with "
                  f"the same {len(expected)} tensors and figures", flush=True)  # fmt: skip
        print(f"{cell.method}: {time.monotonic() - began:.0f} s", flush=True)
    shutil.rmtree(top)
    if wrong:
        raise SystemExit(f"{wrong} runs differ")


if __name__ == "__main__":
    main()
