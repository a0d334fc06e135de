"""CPU seconds of forecasts that share what is built, of searches with a law, and of estimates.

Llama-2-7B with LoRA on all linear layers, 4 x 1,024 tokens, bf16, checkpointing, on an RTX 4090.

    python benchmarks/solving.py
"""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from harness.forecasting import many, solving
from harness.forecasting.cards import find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.estimates import estimates
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.pool import preload
from harness.forecasting.settings import setting_of
from harness.suite.load import load_suite

SUITE = """\
name: solving
model: {config: llama-2-7b}
tasks: [{shape: {family: causal_lm, batch_size: 4, length: 1024}}]
methods: [lora: {r: 16, targets: all-linear}]
train: {precision: bf16-weights, gradient_checkpointing: true}
"""
BATCHES = (1, 2, 4, 8)


def seconds() -> float:
    """Return the CPU seconds of this process and of those that it forked."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def told(name: str, act: Callable[[], Any], say: Callable[[Any], object] = lambda _: "") -> None:
    """Print what an act took and, of what it returned, what there is to say."""
    began = seconds()
    found = act()
    print(f"{name:44} {seconds() - began:6.1f} s  {say(found)}", flush=True)


def main() -> None:
    """Print a line per act; the imports are counted to none."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "solving.yaml"
        file.write_text(SUITE)
        [cell] = load_suite(file, []).cells()
    card, forecaster = find_card("rtx4090"), Forecaster(None, 1)
    preload({"llama"})
    sweep = [setting_of(cell, "batch").at(batch) for batch in BATCHES]

    def alone() -> None:
        with mock.patch.object(many, "MOST", 1):
            forecast_cells(forecaster, sweep, [card])

    def by_forecasts() -> solving.Solved:
        with mock.patch.object(solving, "law_of", lambda *_: None):
            return solving.solve(forecaster, cell, card, "batch")

    told("one forecast", lambda: forecast_cells(forecaster, [cell], [card]))
    told("its estimate", lambda: estimates(forecaster, [cell], card))
    told(f"a sweep over {len(BATCHES)} batches, each built", alone)
    told("the same, built once", lambda: forecast_cells(forecaster, sweep, [card]))
    told("the largest batch, by forecasts", by_forecasts, _words)
    for what in sys.argv[1:] or ("batch", "length", "rank"):
        told(f"the largest {what}, by a law and forecasts",
             lambda what=what: solving.solve(forecaster, cell, card, what), _words)  # type: ignore[misc]  # fmt: skip


def _words(found: solving.Solved) -> str:
    values = [at.value if at else 0 for at in (found.fits, found.tight)]
    return f"fits {values[0]}, tight {values[1]}; {found.forecasts} forecasts"


if __name__ == "__main__":
    main()
