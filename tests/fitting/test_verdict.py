"""What a forecast's known error leaves of its verdict, and that it is what was measured."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from harness.fitting.verdict import (
    QUANTISED,
    UNQUANTISED,
    WHOLE_STATES,
    Error,
    Verdict,
    known_error,
    surely,
    verdict_of,
)
from harness.forecasting.cards import CARDS
from harness.forecasting.result import Fit, Forecast
from harness.suite.settings import TrainSettings

REPORTS = Path("reports")
CARD = replace(CARDS["rtx4090"], usable=1100, context=100)


def rows(file: str) -> list[dict[str, str]]:
    with (REPORTS / file).open(newline="") as opened:
        return list(csv.DictReader(opened))


def measured() -> dict[Error, list[float]]:
    """Return forecast over measured reserved bytes minus 1, by the error that is said of them."""
    with Path("benchmarks/measured/public.csv").open(newline="") as opened:
        public = {row["id"].rpartition("/")[0]: row for row in csv.DictReader(opened)}
    errors: dict[Error, list[float]] = {UNQUANTISED: [], QUANTISED: [], WHOLE_STATES: []}
    for row in rows("measured/points.csv"):
        if row["kind"] != "peak_reserved" or not row["error (fraction)"] or row["fitted"] == "1":
            continue
        packed = public.get(row["run"], {}).get("precision", "").startswith(("nf4", "bf16 nf4"))
        errors[QUANTISED if packed else UNQUANTISED].append(float(row["error (fraction)"]))
    for row in rows("recipes/rows.csv"):
        off = int(row["reserved_forecast"]) / int(row["reserved_measured"]) - 1
        whole = row["row"].startswith("full-") and ("8" in row["row"] or "paged" in row["row"])
        packed = row["row"].startswith(("nf4", "fp4", "int8"))
        kind = WHOLE_STATES if whole else QUANTISED if packed else UNQUANTISED
        errors[kind].append(off)
    for row in rows("safe_table1/steps.csv"):
        off = int(row["forecast_reserved"]) / int(row["peak_reserved"]) - 1
        errors[UNQUANTISED].append(off)
    return errors


@pytest.mark.parametrize("error", [UNQUANTISED, QUANTISED, WHOLE_STATES])
def test_19_of_20_measured_runs_are_within_the_error(error: Error) -> None:
    found = measured()[error]
    assert len(found) >= 5
    for most, off in ((error.under, [-each for each in found]), (error.over, found)):
        assert sum(each > most for each in off) <= len(found) / 20
        # No more is said than that needs.
        assert sum(each > most - 0.002 for each in off) > len(found) / 20


@pytest.mark.parametrize(
    ("reserved", "fit", "verdict"),
    [
        (880, "fits", "fits"),
        (920, "fits", "uncertain"),  # 920 / 0.9 is over 1,000
        (990, "tight", "uncertain"),
        (1010, "does not fit", "uncertain"),  # 1,010 / 1.02 is not
        (1030, "does not fit", "does not fit"),
        (1100, "tight", "tight"),  # what the allocator gives back is no error of the forecast
    ],
)
def test_the_verdict_of_a_forecast_near_the_end_of_the_card(
    reserved: int, fit: Fit, verdict: Verdict
) -> None:
    entry = Forecast(
        cell="c", method="m", model="m", task="t", gpu="g", stage="training", steps=[(1, 8)],
        device=reserved + 100, fits=fit,
    )  # fmt: skip
    error = Error(under=0.1, over=0.02)
    assert verdict_of(entry, CARD, error) == verdict
    if verdict == "fits":
        assert reserved <= surely(CARD, error)


def test_each_kind_of_run_has_its_error() -> None:
    packed = TrainSettings(precision="bf16-weights", weights="nf4")
    assert known_error("lora", packed) == QUANTISED
    assert known_error("lora", TrainSettings(precision="bf16-weights")) == UNQUANTISED
    paged = TrainSettings(precision="bf16-weights", optimizer="adamw-paged-8bit")
    assert known_error("full", paged) == WHOLE_STATES
    assert known_error("lora", paged) == UNQUANTISED
