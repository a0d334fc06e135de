"""Forecast step times of the CPU beside real ones: methods on tiny models, after `calibrate`.

    headroom calibrate
    python benchmarks/cpu_times.py [--threads 1] [--rounds 30] [--model tiny-gpt2] [--out FILE.csv]

All methods of a model are run in turn, two steps each, round after round. A ratio is the median
over rounds of a method's time over the baseline's in the same round: what slows the machine down
for a while slows both. Milliseconds are the least. With one thread its own CPU time is taken, with
more the wall's. What `calibrate` fits its constants on (`TWINS` in
harness/calibration/twins.py) is marked in the table.
"""

from __future__ import annotations

import argparse
import csv
import gc
from statistics import median
from typing import Any, NamedTuple

import torch

from harness.calibration.twins import CROWDED, TWINS, Running
from harness.errors import UserError
from harness.forecasting.cards import this_cpu
from harness.forecasting.forecaster import Asked, Forecaster
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast
from harness.simulation.target import CPU
from harness.suite.settings import TrainSettings
from methods.base import Stage

BASELINE = "full"
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("full", {}),
    "bitfit": ("bitfit", {}),
    "lora": ("lora", {}),
    "elora": ("elora", {"r": 64}),
    "aflora": ("aflora", {}),
    "adalora": ("adalora", {}),
    "sora": ("sora", {}),
    "safe half frozen": ("safe", {"over": {"lora": {"targets": "qv"}}, "tau": 0.5}),
    "meft": ("meft", {}),
}
MODELS = {
    "tiny-bert": "classification", "tiny-roberta": "classification", "tiny-llama": "causal_lm",
    "tiny-gpt2": "causal_lm",
}  # fmt: skip
HEADER = "model        batch    method            forecast  real ms   error   ratio   real   error"
SHAPES = ((4, 32), (16, 64))


class Row(NamedTuple):
    """One method on one model: seconds of a step."""

    model: str
    batch: str
    method: str
    forecast: float
    measured: float
    ratio: float
    calls: float
    fitted: bool


def request(model: str, method: str, shape: tuple[int, int]) -> Request:
    """Return the request of a method's step."""
    name, options = METHODS[method]
    stage = Stage("training", 0.5) if method == "safe half frozen" else Stage("training")
    return Request(
        model=ModelSpec(config=model), family=MODELS[model], num_labels=2, method=name,
        method_options=options, train=TrainSettings(), steps=(BatchShape(*shape),), mask=True,
        target=CPU, stage=stage,
    )  # fmt: skip


def rows_of(model: str, shape: tuple[int, int], threads: int, rounds: int) -> list[Row]:
    """Forecast and measure every method on one model."""
    clock = this_cpu(threads).clock
    if clock is None:
        raise UserError(f"headroom calibrate has not measured this CPU with {threads} threads")
    asked = {method: request(model, method, shape) for method in METHODS}
    answers = Forecaster(None, 1).ask([Asked(one, (), (clock,)) for one in asked.values()])
    found = [a for a in answers if isinstance(a, StepForecast)]
    kept = [m for m, a in zip(asked, answers, strict=True) if isinstance(a, StepForecast)]
    for method, answer in zip(asked, answers, strict=True):
        if not isinstance(answer, StepForecast):
            print(f"{model} {method}: {answer}")
    torch.set_num_threads(threads)
    steps = [Running(asked[method], torch.device("cpu")) for method in kept]
    turns = in_turn(steps, rounds)
    base = kept.index(BASELINE)
    fitted = {(t.model, t.method, (t.shape.examples, t.shape.length)) for t in (*TWINS, CROWDED)}
    times = [answer.times[clock.key()].steps[0] for answer in found]
    return [
        Row(model, f"{shape[0]} x {shape[1]}", method, time.seconds, min(turn[i] for turn in turns),
            median(turn[i] / turn[base] for turn in turns), time.host,
            (model, METHODS[method][0], shape) in fitted)
        for i, (method, time) in enumerate(zip(kept, times, strict=True))
    ]  # fmt: skip


def in_turn(steps: list[Running], rounds: int) -> list[list[float]]:
    """Return the seconds of every step, round after round: the lesser of two in a row."""
    gc.collect()
    gc.disable()
    for step in steps:
        step.run()
        step.run()
    found = [[min(step.run()["step"] for _ in range(2)) for step in steps] for _ in range(rounds)]
    gc.enable()
    return found


def told(rows: list[Row]) -> list[float]:
    """Print one model's table; return errors of the ratios of what was not fitted."""
    base = next(row for row in rows if row.method == BASELINE)
    errors = []
    for row in rows:
        ratio, real = row.forecast / base.forecast, row.ratio
        error = ratio / real - 1
        if row.method != BASELINE:
            errors.append(error)
        print(
            f"{row.model:13}{row.batch:9}{row.method:18}{1e3 * row.forecast:8.2f}"
            f"{1e3 * row.measured:9.2f}{row.forecast / row.measured - 1:+8.1%}{ratio:8.2f}"
            f"{real:7.2f}{error:+8.1%}  {'fitted' * row.fitted}"
        )
    return errors


def main() -> None:
    """Print every table and the errors over all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--out")
    chosen = parser.parse_args()
    print(HEADER)
    every, errors = [], []
    for model in chosen.model or MODELS:
        for shape in SHAPES:
            rows = rows_of(model, shape, chosen.threads, chosen.rounds)
            every += rows
            errors += told(rows)
    sizes = sorted(abs(error) for error in errors)
    print(
        f"ratio to {BASELINE}: median {median(sizes):.1%}, 90th percentile "
        f"{sizes[int(0.9 * len(sizes))]:.1%}, largest {sizes[-1]:.1%}; {len(sizes)} rows; "
        f"{chosen.threads} thread(s), torch {torch.__version__}"
    )
    if chosen.out:
        with open(chosen.out, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(every)


if __name__ == "__main__":
    main()
