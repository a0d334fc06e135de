"""Step times that were measured: peft's 20 runs on an L40S, this project's 52 stages on an H100."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.timing.by_tokens import at_tokens
from harness.timing.times import StepTime, Times
from measured.others import ROOT, cells_of
from measured.rows import HERE

BASELINE = "lora/llama-3.2-3B-rank32"
# peft's loop: batches of 4 out of 80 texts in the order of their lengths, padded to the longest.
BATCH, BUCKET, BUCKETS = 4, 80, 400
# Its texts' lengths are not published but for their mean, 839.6 tokens a step: a lognormal
# distribution, whose sigma memory led to (measured/others.py).
MEAN, SIGMA = 839.6 / BATCH, 0.41
BINS = 40


@dataclass(frozen=True)
class Timed:
    """A measured step.

    Attributes:
        name: of the run, or of the stage and its setting.
        family: what is held out together.
        card: that it ran on.
        cell, stage: what was run; the stage's name is empty for a cell's only one.
        seconds: as measured.
        baseline: name of the row that ratios are to.
    """

    name: str
    family: str
    card: str
    cell: Cell
    stage: str
    seconds: float
    baseline: str

    def forecast(self, times: Times) -> StepTime:
        """Return the forecast of what was measured: of peft's runs a mean over lengths."""
        if self.card != "l40s":
            return times.steps[-1]
        several = [at_tokens(times.steps, BATCH * length) for length in lengths()]
        return StepTime(
            seconds=fmean(one.seconds for one in several),
            host=fmean(one.host for one in several),
            device=fmean(one.device for one in several),
        )


def lengths() -> Sequence[float]:
    """Return lengths of padded batches, each as frequent as the others."""
    draw = random.Random(0)
    mu = log(MEAN) - SIGMA**2 / 2
    found: list[float] = []
    for _ in range(BUCKETS):
        texts = sorted(exp(draw.gauss(mu, SIGMA)) for _ in range(BUCKET))
        found += texts[BATCH - 1 :: BATCH]
    found.sort()
    size = len(found) // BINS
    return [fmean(found[i : i + size]) for i in range(0, len(found), size)]


def peft_times() -> Iterator[Timed]:
    """Yield peft's runs, medians over windows of 250 steps."""
    cells = {cell.method_label: cell for cell in _cells()}
    with (HERE / "peft_l40s_step_times.csv").open(newline="") as stream:
        for given in csv.DictReader(stream):
            name = given["experiment"]
            cell = cells[name]
            if name.startswith("osf/"):  # its training_params.json: autocast_adapter_dtype false
                train = cell.train.model_copy(update={"adapters": "same"})
                cell = cell.model_copy(update={"train": train})
            seconds = float(given["step_seconds_median"])
            yield Timed(name, name.partition("/")[0], "l40s", cell, "", seconds, BASELINE)


def _cells() -> Iterator[Cell]:
    for cell in load_suite(HERE / "step_times.yaml").cells():
        yield cell.model_copy(update={"model": cell.model.catalogued()})


def h100_times() -> Iterator[Timed]:
    """Yield the stages of reports/safe_table1, medians of five steps."""
    cells = {
        (cell.task_label, str(cell.axes["attention"]), cell.method_label): cell
        for cell in cells_of("safe_table1_shape")
    }
    with (ROOT / "reports" / "safe_table1" / "steps.csv").open(newline="") as stream:
        for given in csv.DictReader(stream):
            setting = f"{given['length']} {given['attention']}"
            cell = cells[f"glue-{given['length']}", given["attention"], given["method"]]
            yield Timed(
                f"{setting} {given['method']} {given['stage']}", given["method"], "h100", cell,
                given["stage"], float(given["step_seconds"]), f"{setting} lora training",
            )  # fmt: skip
