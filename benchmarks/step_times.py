"""Forecast step times against those that were measured on an L40S and on an H100.

No GPU, no hub, no weights. Writes README.md and rows.csv to the folder.

    python benchmarks/step_times.py [--out reports/step_times] [--workers 2]
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from measured.times import Timed, h100_times, peft_times
from measured.times_page import page

from harness import durable
from harness.forecasting.cache import cache_folder
from harness.forecasting.cards import find_card, target_of
from harness.forecasting.forecaster import Asked, Forecaster
from harness.forecasting.requests import requests_of, shapes_without_data
from harness.simulation.step_forecast import StepForecast
from harness.timing.clock import Clock, Machine
from harness.timing.datasheet import DATASHEETS
from harness.timing.times import StepTime, Times

# Seconds of the host for an operator: of peft's machine, the default; of ours beside the H100.
HOST = {"l40s": 12e-6, "h100": 16e-6}
# What is fitted anew for every family that is held out, around what was fitted on all rows.
HOSTS = (11e-6, 12e-6, 13e-6)
TENSORS, FP32 = (0.55, 0.6, 0.65), (0.3, 0.35, 0.4)


class Against(NamedTuple):
    """A measured step beside its forecast."""

    row: Timed
    time: StepTime
    at_least: Sequence[str]

    @property
    def error(self) -> float:
        """Forecast over measured minus 1."""
        return self.time.seconds / self.row.seconds - 1


def clock_of(card: str, **constants: float) -> Clock:
    """Return a card's clock with some constants of the machine's changed."""
    machine = Machine.model_validate({"host": HOST[card], **constants})
    capability = find_card(card).capability
    return Clock(device=card, capability=capability, sheet=DATASHEETS[card], machine=machine)


def fits() -> dict[tuple[float, ...], Clock]:
    """Return the clocks of an L40S that families held out choose from."""
    return {
        (h, tensor, fp32): clock_of("l40s", host=h, products=tensor, products_fp32=fp32)
        for h, tensor, fp32 in itertools.product(HOSTS, TENSORS, FP32)
    }


def times_of(
    rows: Sequence[Timed], clocks: Mapping[str, Sequence[Clock]], workers: int | None
) -> dict[str, dict[str, Times]]:
    """Return the times of every row, by its name and the clock's key."""
    asked = []
    for row in rows:
        requests = requests_of(
            row.cell, target_of(find_card(row.card)), shapes_without_data(row.cell)
        )
        (request,) = (each for each in requests if row.stage in ("", each.stage.name))
        request = request.model_copy(update={"evaluation": None, "probe": None})
        asked.append(Asked(request, (), tuple(clocks[row.card])))
    found = {}
    answers = Forecaster(cache_folder(), workers).ask(asked)
    for row, answer in zip(rows, answers, strict=True):
        if not isinstance(answer, StepForecast):
            raise SystemExit(f"{row.name}: {answer}")
        found[row.name] = answer.times
    return found


def held_out(
    rows: Sequence[Timed], times: Mapping[str, Mapping[str, Times]]
) -> dict[str, tuple[float, StepTime]]:
    """Return each row's forecast, and its baseline's seconds, by constants fitted on others.

    All rows of a family are left out of the fit together.
    """
    steps = {
        constants: {row.name: row.forecast(times[row.name][clock.key()]) for row in rows}
        for constants, clock in fits().items()
    }
    found = {}
    for family in {row.family for row in rows}:
        others = [row for row in rows if row.family != family]
        best = min(
            steps.values(),
            key=lambda of: fmean(abs(of[row.name].seconds / row.seconds - 1) for row in others),
        )
        for row in rows:
            if row.family == family:
                found[row.name] = (best[row.baseline].seconds, best[row.name])
    return found


def rows_csv(pairs: Sequence[Against]) -> str:
    """Return every row: measured and forecast, in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("card", "name", "measured", "forecast", "host", "device", "at_least"))
    for row, time, at_least in pairs:
        figures = (row.seconds, time.seconds, time.host, time.device)
        writer.writerow((row.card, row.name, *(f"{x:.6f}" for x in figures), " ".join(at_least)))
    return text.getvalue()


def main() -> None:
    """Forecast every row and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/step_times"))
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    rows = [*peft_times(), *h100_times()]
    plain = {card: clock_of(card) for card in HOST}
    clocks = {"l40s": [plain["l40s"], *fits().values()], "h100": [plain["h100"]]}
    times = times_of(rows, clocks, options.workers)
    pairs = []
    for row in rows:
        found = times[row.name][plain[row.card].key()]
        pairs.append(Against(row, row.forecast(found), found.at_least))
    others = held_out([row for row in rows if row.card == "l40s"], times)
    options.out.mkdir(parents=True, exist_ok=True)
    durable.write_text(options.out / "README.md", page(pairs, others))
    durable.write_text(options.out / "rows.csv", rows_csv(pairs))
    print(f"median error {100 * median(abs(pair.error) for pair in pairs):.1f} %")


if __name__ == "__main__":
    main()
