"""Twenty models on five cards, by forecast: what fits, what is left, and the seconds of a step.

No GPU and no hub. Forecasts are kept in the cache, so that a second call goes on where the first
one ended.

    python benchmarks/card_table.py [--models llama-2-7b ...] [--workers N]
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness import durable
from harness.env import MEMORY_PACKAGES, package_versions
from harness.forecasting.cache import cache_folder
from harness.forecasting.cards import CARDS, find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.reporting.markdown import markdown_grid
from harness.suite.load import load_suite
from harness.timing.bar import rule
from harness.units import GIB

SUITE = Path("suites/cards_shape.yaml")
PAGE, ROWS = Path("docs/cards.md"), Path("reports/cards/rows.csv")
ON = {
    "rtx3060": "RTX 3060, 12 GB",
    "rtx4080": "RTX 4080, 16 GB",
    "rtx4090": "RTX 4090, 24 GB",
    "a6000": "RTX A6000, 48 GB",
    "h100": "H100, 80 GB",
}
METHODS = {
    "full": "Full fine-tuning, AdamW",
    "lora": "LoRA, r 16 on all linear layers",
    "qlora": "QLoRA: the same over a base in nf4",
}
HEAD = """\
# Twenty models on five cards

Which language models fit which card at 1 x 2,048 tokens, and what a training step takes:
**forecast**, with no GPU, no weights and no data, by `python benchmarks/card_table.py` from
`suites/cards_shape.yaml` ({date}; {versions}).

A cell is the time of a step and, in brackets, what is left of the card's memory, in GiB (2^30 B),
beside what the caching allocator holds and CUDA's context. `no`: it does not fit, and so much is
missing. `tight`: less than 3 % of the card is left, or it fits only because the allocator gives
back what it caches. `≈`: the host has at least 0.8 of the device's work, so that the time hangs on
it, too. `>=`: a kernel's cost is not known.

Weights in bf16, gradient checkpointing, sdpa, logits and loss as transformers makes them (`loss:
chunked` needs less), no evaluation. Another card or setting: `headroom forecast
suites/cards_shape.yaml train.loss=chunked --gpu rtx3090`.
"""
FOOT = """\
{rule}

How far forecast peaks are from [GPUs](forecasting.md) and forecast [step times](times.md) from
theirs is told there; none of these rows has been run. A card's speed is that of its datasheet
(`harness/timing/datasheet.py`), the host is the reference one. All figures:
`reports/cards/rows.csv`.
"""


def forecasts(models: Sequence[str], workers: int | None) -> list[Forecast]:
    """Return an entry per model, method and card."""

    def told(done: int, total: int) -> None:
        print(f"forecast {done} of {total}", file=sys.stderr)

    cells = load_suite(SUITE).cells()
    wanted = [
        cell
        for cell in cells
        if cell.method_label in METHODS and (not models or cell.model.name in models)
    ]
    forecaster = Forecaster(cache_folder(), workers, told)
    entries = forecast_cells(forecaster, wanted, [find_card(name).as_sold() for name in ON])
    if failed := [f"{e.cell} on {e.gpu}: {e.error}" for e in entries if e.error]:
        raise SystemExit("\n".join(failed))
    return entries


def shown(entry: Forecast) -> str:
    """Return the text of a cell."""
    left = (entry.margin or 0) / GIB
    if entry.fits == "does not fit":
        return f"no ({left:.1f})"
    room = f"{'' if entry.fits == 'fits' else f'{entry.fits} '}{left:+.1f}"
    return f"{taken(entry)} ({room})"


def taken(entry: Forecast) -> str:
    """Return a step's time."""
    time = entry.step_time
    if time is None:
        return "-"
    marks = f"{'>= ' if time.at_least else ''}{'≈' if time.bar.near else ''}"
    return f"{marks}{time.seconds:.2f} s"


def names(entries: Sequence[Forecast]) -> dict[str, str]:
    """Return model -> its name with its size, the smallest first."""
    sizes = {e.model: e.total_parameters or 0 for e in entries if e.method == "full"}
    ordered = sorted(sizes, key=lambda model: sizes[model])
    return {model: f"{model}, {sizes[model] / 1e9:.1f}B" for model in ordered}


def glance(entries: Sequence[Forecast]) -> str:
    """Return the largest model that fits, by method and card."""
    order = names(entries)

    def largest(method: str, card: str) -> str:
        fitting = {e.model for e in entries if (e.method, e.gpu, e.fits) == (method, card, "fits")}
        return next((model for model in reversed(order) if model in fitting), "none")

    rows = [[text, *(largest(name, card) for card in ON)] for name, text in METHODS.items()]
    return markdown_grid(["largest model that fits", *ON.values()], rows)


def table(method: str, entries: Sequence[Forecast]) -> str:
    """Return the models on the cards, for one method."""
    by_place = {(e.model, e.gpu): e for e in entries if e.method == method}
    rows = [
        [name, *(shown(by_place[model, card]) for card in ON)]
        for model, name in names(entries).items()
    ]
    return markdown_grid(["model", *ON.values()], rows)


def page(entries: Sequence[Forecast]) -> Iterator[str]:
    """Yield the page's blocks."""
    versions = package_versions()
    used = ", ".join(f"{name} {versions[name]}" for name in MEMORY_PACKAGES)
    yield HEAD.format(date=datetime.now(UTC).date(), versions=used)
    yield glance(entries)
    for method, text in METHODS.items():
        yield f"## {text}"
        yield table(method, entries)
    yield FOOT.format(rule=rule())


def rows_csv(entries: Sequence[Forecast]) -> str:
    """Return a row per model, method and card; bytes and seconds."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["model", "parameters", "method", "card", "peak_allocated", "peak_reserved", "device",
         "usable", "margin", "fits", "step_seconds", "host_seconds", "device_seconds", "binds",
         "tokens_per_second", "error_bar", "at_least"]
    )  # fmt: skip
    for e in entries:
        time = e.step_time
        timed = ([f"{time.seconds:.5f}", f"{time.host:.5f}", f"{time.device:.5f}", time.bar.binds,
                  round(time.tokens_per_second), time.bar.absolute, " ".join(time.at_least)]
                 if time else [""] * 7)  # fmt: skip
        writer.writerow(
            [e.model, e.total_parameters, e.method, e.gpu, e.peak_allocated, e.peak_reserved,
             e.device, CARDS[e.gpu].usable, e.margin, e.fits, *timed]
        )  # fmt: skip
    return stream.getvalue()


def main() -> None:
    """Write the page and its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=[], help="of the suite; default: all")
    parser.add_argument("--workers", type=int, help="processes; default: cores")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of docs/ and reports/")
    options = parser.parse_args()
    entries = forecasts(options.models, options.workers)
    text = "\n\n".join(block.strip("\n") for block in page(entries))
    for file, content in ((PAGE, f"{text}\n"), (ROWS, rows_csv(entries))):
        (options.out / file).parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(options.out / file, content)


if __name__ == "__main__":
    main()
