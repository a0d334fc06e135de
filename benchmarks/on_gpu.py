"""Forecasts of a suite's cells against real steps on this machine's GPU, and the steps' time.

Every cell and stage: peak allocated and reserved, forecast and measured, and the median step
relative to the suite's baseline with the same task and grid values; with --json also the parts of a
step, forecast and measured. Random weights, empty inputs. A cell that fails says why, and the next
one goes on.

    python benchmarks/on_gpu.py SUITE [--only '*'] [--json FILE] [KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from harness.forecasting.cards import canonical
from harness.forecasting.forecaster import Asked, Forecaster
from harness.forecasting.requests import requests_of
from harness.gpus import capability
from harness.simulation.real import measure
from harness.simulation.target import Target
from harness.suite.load import load_suite
from harness.suite.suite import choose
from harness.units import GIB


def main() -> None:
    """Forecast first, then measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("suite", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--only", default="*")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    suite = load_suite(arguments.suite, arguments.overrides)
    cells = choose(suite.cells(), arguments.only)
    target = canonical(capability())
    # No fork survives a GPU's threads, and what a forecaster imports knows of no GPU: all forecasts
    # come first, in a process of their own.
    with ProcessPoolExecutor(1, get_context("fork")) as apart:
        rows, answers = apart.submit(foresee, cells, target).result()
    for row, answer in zip(rows, answers, strict=True):
        row["forecast"] = answer
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}; GiB")
    print(f"{'cell, stage':66} {'allocated':>9} {'forecast':>9} {'reserved':>9} {'forecast':>9} "
          f"{'step ms':>8} {'to base':>7}")  # fmt: skip
    times: dict[tuple[Any, ...], float] = {}
    for row in rows:
        show(row, times, suite.baseline)
        if arguments.json:
            kept = [{k: v for k, v in r.items() if k not in ("request", "forecast")} for r in rows]
            arguments.json.write_text(json.dumps(kept, indent=1))


def foresee(cells: Sequence[Any], target: Target) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the entries and their forecasts."""
    forecaster = Forecaster(cache=None)
    rows = entries(cells, forecaster.shapes(cells), target)
    return rows, forecaster.ask([Asked(row["request"]) for row in rows])


def entries(cells: Sequence[Any], shapes: Sequence[Any], target: Target) -> list[dict[str, Any]]:
    """Return one entry per cell and stage, with its request."""
    return [
        {"cell": cell.path, "method": cell.method_label, "stage": request.stage.name,
         "setting": [cell.task_label, cell.model.name, cell.axes], "request": request}
        for cell, shape in zip(cells, shapes, strict=True)
        for request in requests_of(cell, target, shape)
    ]  # fmt: skip


def show(row: dict[str, Any], times: dict[tuple[Any, ...], float], baseline: str | None) -> None:
    """Measure one entry and print it beside its forecast."""
    name = f"{row['cell'].removesuffix('/s0')} {row['stage']}"
    if isinstance(row["forecast"], Exception):
        row["error"] = f"no forecast: {row['forecast']}"
        print(f"{name:66} {row['error']}", flush=True)
        return
    foreseen, request = row["forecast"], row["request"]
    try:
        measured = measure(request)
    except torch.OutOfMemoryError:
        row["error"] = f"out of memory; forecast {foreseen.peak_allocated / GIB:.3f}"
        print(f"{name:66} {row['error']}", flush=True)
        return
    except Exception as error:  # a package that is absent, a kernel that the card lacks
        row["error"] = f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
        print(f"{name:66} {row['error']}", flush=True)
        return
    reading = measured.reading
    row |= {
        "peak_allocated": reading.peak_allocated, "peak_reserved": reading.peak_reserved,
        "peak_requested": reading.peak_requested, "context": reading.context,
        "forecast_allocated": foreseen.peak_allocated,
        "forecast_reserved": foreseen.peak_reserved, "flops_step": foreseen.flops_step,
        "step_seconds": measured.step_seconds, "peaks": measured.peaks,
        "forecast_peaks": foreseen.peaks,
    }  # fmt: skip
    setting = json.dumps(row["setting"])
    times.setdefault((setting,), measured.step_seconds)
    if row["method"] == baseline:
        times[(setting,)] = measured.step_seconds
    print(
        f"{name:66} {reading.peak_allocated / GIB:9.3f} "
        f"{foreseen.peak_allocated / reading.peak_allocated - 1:+9.2%} "
        f"{reading.peak_reserved / GIB:9.3f} "
        f"{foreseen.peak_reserved / reading.peak_reserved - 1:+9.2%} "
        f"{1000 * measured.step_seconds:8.1f} {measured.step_seconds / times[(setting,)]:7.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
