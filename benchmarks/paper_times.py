"""Training times that the AFLoRA and SAFE papers print, beside those that are forecast.

No GPU and no hub. Both papers print ratios of whole runs; here a run has as many steps in every
epoch, so that a ratio does not depend on how many they are.

    python benchmarks/paper_times.py [--out reports/papers] [--workers N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from harness import durable
from harness.forecasting.cache import cache_folder
from harness.forecasting.cards import find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.published import published
from harness.reporting.markdown import markdown_grid
from harness.suite.load import load_suite
from harness.timing.bar import rule

CARDS = {"a6000": "RTX A6000", "rtx4090": "RTX 4090"}
STEPS = 20_000  # of a run: any number that epochs divide
AFLORA = {"aflora-r4": "aflora_r4", "lora-r8": "lora_r8", "elora-r1024": "elora_r1024"}
# What the paper does not say of Fig. 3's runs, and what it would come to.
SETTINGS = {
    "64 x 256, fp32 (the suite)": (),
    "64 x 128, fp32": ("tasks=[{shape: {family: classification, length: 128, batch_size: 64}}]",),
    "64 x 64, fp32": ("tasks=[{shape: {family: classification, length: 64, batch_size: 64}}]",),
    "8 x 64, fp32": ("tasks=[{shape: {family: classification, length: 64, batch_size: 8}}]",),
    "64 x 256, tf32": ("train.precision=tf32",),
    "64 x 256, fp16 by autocast": ("train.precision=fp16",),
}
SAFE = {"glue": "safe_glue", "squad": "safe_squad", "e2e": "safe_e2e"}
HEAD = """\
# The papers' training times beside the forecast

`python benchmarks/paper_times.py`: no GPU, no hub, models by the catalogue's configs, cards by
their datasheets, the host by the reference constant. Both papers print ratios of whole runs, and
neither seconds, a host, a precision or how long its batches are. Forecast is training alone: the
steps of every stage, as many as the method's schedule has of each. SAFE's looks at its probe are
told apart.
"""
TOLD = """\
## What differs

- **AFLoRA beside LoRA** is 2 % slower by the forecast and 17 % faster in print, at nearly the
  same FLOPs in both. AFLoRA computes what LoRA computes, and two vectors of each adapter beside
  it; with all projections frozen its step is 1 % shorter than with all of them trained. No
  length, batch or precision that was tried brings it below LoRA. The forecast's error bar for a
  ratio of steps that the device binds is 5 %. Not explained.
- **LoRA beside ELoRA** is 20 % below the paper's in fp32; the paper's lies between what fp32 and
  what tf32 would give. Short batches, whose time is the host's, make all three alike. The paper's
  is a mean over six tasks, whose lengths are not known.
- **SAFE on GLUE and SQuAD** saves about twice as much by the forecast as in print, and on E2E a
  little less (its runs have ten epochs, so that the warm-up is a larger part of them). How long the
  warm-up is and where the threshold ends is not published: here the shortest warm-up, layers
  frozen evenly until half of the run and 51 % of them at last. A longer warm-up saves less. The
  paper's own FLOPs of SQuAD fall by 61 % where its time falls by 11 %. Looks at the probe are
  those of a run of 20,000 steps: in a shorter one they weigh more.
"""


class Run(NamedTuple):
    """A whole run on one card."""

    method: str
    model: str
    task: str
    seconds: float
    probes: float
    stages: tuple[Forecast, ...]


class Asker:
    """Forecasts suites at full size."""

    def __init__(self, workers: int | None) -> None:
        def told(done: int, total: int) -> None:
            print(f"forecast {done} of {total}", file=sys.stderr)

        self.forecaster = Forecaster(cache_folder(), workers, told)

    def runs(
        self, suite: str, overrides: Sequence[str], methods: Sequence[str]
    ) -> dict[str, list[Run]]:
        """Return a suite's runs by card."""
        loaded = load_suite(
            Path("suites") / f"{suite}.yaml",
            [*overrides, f"train.max_steps={STEPS}", "seeds=[0]"],
        )
        cells = [
            cell.model_copy(update={"model": cell.model.catalogued()})
            for cell in loaded.cells()
            if cell.method_label in methods
        ]
        entries = forecast_cells(
            self.forecaster, cells, [find_card(name).as_sold() for name in CARDS]
        )
        return {card: list(_runs([e for e in entries if e.gpu == card])) for card in CARDS}


def _runs(entries: Sequence[Forecast]) -> Iterator[Run]:
    by_cell: dict[str, list[Forecast]] = {}
    for entry in entries:
        by_cell.setdefault(entry.cell, []).append(entry)
    for cell, stages in by_cell.items():
        first = stages[0]
        if first.run_time is None:
            raise SystemExit(f"{cell} on {first.gpu}: {first.error or 'no time of its run'}")
        whole = first.run_time
        yield Run(first.method, first.model, first.task, whole.training, whole.probes,
                  tuple(stages))  # fmt: skip


def printed(table: str, metric: str) -> dict[tuple[str, str], float]:
    """Return what a paper's table prints of a metric, by method and task."""
    return {
        (figure.method, figure.task): figure.value
        for figure in published.table(table).figures
        if figure.metric == metric and figure.value is not None
    }


def aflora(ask: Asker) -> Iterator[str]:
    """Yield the part on AFLoRA's Fig. 3."""
    paper = {name: printed("aflora_fig3", "runtime_normalized")[other, "glue6"]
             for name, other in AFLORA.items()}  # fmt: skip
    flops = {name: printed("aflora_fig3", "flops_normalized")[other, "glue6"]
             for name, other in AFLORA.items()}  # fmt: skip
    found = {text: ask.runs("aflora_cost_shape", changed, list(AFLORA))
             for text, changed in SETTINGS.items()}  # fmt: skip
    default = found[next(iter(SETTINGS))]
    yield "## AFLoRA, Fig. 3: run time of DeBERTaV3-base on an RTX A6000, over ELoRA's"
    rows = []
    for name in AFLORA:
        runs = {card: {run.method: run for run in runs} for card, runs in default.items()}
        steps = {card: by[name].stages[0] for card, by in runs.items()}
        share = _flops(steps["a6000"]) / _flops(runs["a6000"]["elora-r1024"].stages[0])
        rows.append([
            name, f"{paper[name]:.3f}",
            *(f"{by[name].seconds / by['elora-r1024'].seconds:.3f}" for by in runs.values()),
            f"{flops[name]:.3f}", f"{share:.3f}",
        ])  # fmt: skip
    yield markdown_grid(
        ["run time", "paper", *CARDS.values(), "FLOPs, paper", "FLOPs, counted"], rows
    )
    yield "On the A6000, what the paper does not say being otherwise:"
    yield _settings(paper, found)


def _flops(entry: Forecast) -> int:
    assert entry.flops_step is not None
    return entry.flops_step


def _settings(paper: Mapping[str, float], found: Mapping[str, dict[str, list[Run]]]) -> str:
    def row(text: str, times: Mapping[str, float], binds: str) -> list[str]:
        lora, elora, ours = (times[name] for name in ("lora-r8", "elora-r1024", "aflora-r4"))
        return [text, f"{lora / elora:.3f}", f"{ours / elora:.3f}", f"{ours / lora:.3f}", binds]

    rows = [row("the paper", paper, "")]
    for text, by_card in found.items():
        times = {run.method: run.seconds for run in by_card["a6000"]}
        first = next(run.stages[0].step_time for run in by_card["a6000"] if run.method == "lora-r8")
        assert first is not None
        rows.append(row(text, times, first.bar.binds))
    headers = ["setting", "LoRA / ELoRA", "AFLoRA / ELoRA", "AFLoRA / LoRA", "binds"]
    return markdown_grid(headers, rows)


def safe(ask: Asker) -> Iterator[str]:
    """Yield the part on SAFE's Table 4."""
    yield "## SAFE, Table 4: training time over that of LoRA alone"
    paper = printed("safe_table4", "train_time")
    rows, each = [], []
    for task, suite in SAFE.items():
        found = ask.runs(suite, (), ["lora", "lora-safe"])
        by_card = {card: _pairs(runs) for card, runs in found.items()}
        texts = []
        for pairs in by_card.values():
            plain = fmean(ours.seconds / lora.seconds for lora, ours in pairs)
            probed = fmean((ours.seconds + ours.probes) / lora.seconds for lora, ours in pairs)
            texts += [f"{plain:.3f}", f"{probed:.3f}"]
        rows.append([task, f"{paper['lora+safe', task]:.2f}", *texts])
        each += _each(task, by_card)
    headers = [f"{said}{tail}" for said in CARDS.values() for tail in ("", ", with probes")]
    yield markdown_grid(["task", "paper", *headers], rows)
    yield "One by one, training alone:"
    yield markdown_grid(["task, model", *CARDS.values()], each)


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Return LoRA alone and under SAFE, by task and model."""
    plain = {(run.task, run.model): run for run in runs if run.method == "lora"}
    return [(plain[run.task, run.model], run) for run in runs if run.method == "lora-safe"]


def _each(task: str, by_card: Mapping[str, Sequence[tuple[Run, Run]]]) -> Iterator[list[str]]:
    for pairs in zip(*by_card.values(), strict=True):
        ours = pairs[0][1]
        named = task if ours.task == task else f"{task} {ours.task}"
        shares = (f"{run.seconds / lora.seconds:.3f}" for lora, run in pairs)
        yield [f"{named}, {ours.model.rpartition('/')[2]}", *shares]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/papers"))
    parser.add_argument("--workers", type=int, help="processes; default: cores")
    options = parser.parse_args()
    ask = Asker(options.workers)
    blocks = [HEAD, *aflora(ask), *safe(ask), TOLD, rule()]
    text = "\n\n".join(block.strip("\n") for block in blocks)
    options.out.mkdir(parents=True, exist_ok=True)
    durable.write_text(options.out / "times.md", f"{text}\n")


if __name__ == "__main__":
    main()
