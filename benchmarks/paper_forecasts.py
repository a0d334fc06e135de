"""The suites of both papers at full size, forecast, beside what the papers print.

No hub and no GPU: models are the catalogue's configs. Tasks of one suite that have the same shapes
have the same peak, so that one of them stands for all.

    python benchmarks/paper_forecasts.py [--only safe_squad ...] [--out FOLDER] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import durable
from harness.forecasting.result import Forecast
from harness.published import published
from harness.reporting.beside import beside, off
from harness.reporting.columns import Column, Table, words
from harness.reporting.inline import prose
from harness.reporting.markdown import markdown_grid, markdown_table
from harness.reporting.ours import of_forecasts
from harness.reporting.published import published_of_forecasts
from harness.suite.load import load_suite
from harness.units import gib, millions

CARDS = {"rtx4090": "RTX 4090", "a6000": "RTX A6000"}
# Suite -> overrides that choose what stands for all of its cells.
SUITES: dict[str, tuple[str, ...]] = {
    "glue": ("tasks=[rte]",),
    "aflora_ablations": ("tasks=[rte]",),
    "aflora_gsm8k": (),
    "aflora_cnn_dailymail": (),
    "aflora_cost_shape": (),
    "safe_glue": ("tasks=[rte]",),
    "safe_squad": (),
    "safe_e2e": (),
    "safe_vision": ("tasks=[cifar10]",),
    "safe_adapters": ("tasks=[rte]",),
    "safe_wikitext": (),
    "safe_memory_breakdown": (),
}
HEAD = """\
# Both papers at full size, forecast

`python benchmarks/paper_forecasts.py`: no GPU, no hub, models by the catalogue's configs. Peak:
allocated in a training step, GiB of 2^30 B, at a method's first stage and, where something freezes,
at its last. A card's column is what is left of it beside training and what goes on beside that
(evaluation, a method's probe), reserved and with CUDA's context; in brackets what needs the most,
where it is not training. Parameters: trained ones of the adapter, at the start.

Below each suite stand the tables of the paper that it reproduces, figure by figure, with a letter
where one is inferred, inconsistent or from elsewhere. "In between": the paper has one figure of a
whole run, and the forecast one at each end of it. No score is forecast; the papers' are folded
below. What each suite assumes is in its file. The papers' training times stand [apart](times.md).
"""


def forecast(suite: str, overrides: Sequence[str], workers: int | None) -> list[Forecast]:
    """Return the entries of `headroom forecast` with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forecast.json"
        command = [
            sys.executable, "-m", "harness.forecast", f"suites/{suite}.yaml", *overrides,
            "seeds=[0]", "--catalogued", "--gpu", ",".join(CARDS), "--json", str(file),
            *(["--workers", str(workers)] if workers else []),
        ]  # fmt: skip
        subprocess.run(command, stdout=sys.stderr, check=False)
        if not file.exists():  # what is wrong with the suite is told above
            raise SystemExit(f"no forecast of {suite}")
        return [Forecast.model_validate(entry) for entry in json.loads(file.read_text())]


def lines(entries: Sequence[Forecast]) -> list[list[Forecast]]:
    """Return the entries of each cell, in the order of the suite."""
    cells: dict[str, list[Forecast]] = {}
    for entry in entries:
        cells.setdefault(entry.cell, []).append(entry)
    return list(cells.values())


def own_table(title: str, entries: Sequence[Forecast]) -> Table[list[Forecast]]:
    """Return what each cell needs, and what it leaves of each card."""
    models = len({entry.model for entry in entries}) > 1

    def name(cell: list[Forecast]) -> str:
        return f"{cell[0].model} {cell[0].method}" if models else cell[0].method

    columns = [
        words("model and method" if models else "method", name),
        words("batch", lambda cell: "x".join(str(n) for n in max(cell[0].steps) if n > 1)),
        words("parameters", lambda cell: millions(cell[0].adapter_trainable)),
        words("peak GiB", peak),
        *(_card(name, said) for name, said in CARDS.items()),
    ]
    return Table(title, columns, lines(entries))


def peak(cell: Sequence[Forecast]) -> str:
    """Return the peak at the first stage, to that at the last."""
    if cell[0].error:
        return f"none: {cell[0].error}"
    return " to ".join(dict.fromkeys(gib(entry.peak_allocated) for entry in (cell[0], cell[-1])))


def _card(name: str, said: str) -> Column[list[Forecast]]:
    return words(f"{said}, GiB left", lambda cell: left(cell, name))


def left(cell: Sequence[Forecast], card: str) -> str:
    """Say how much is left of a card, and what decides where it is not training."""
    entry = next(each for each in cell if each.gpu == card)
    if entry.margin is None:
        return "-"
    decides = "" if entry.decides == "training" else f" ({entry.decides})"
    verdict = "" if entry.fits == "fits" else f" {entry.fits}"
    return f"{entry.margin / 2**30:+.1f}{verdict}{decides}"


@dataclass(frozen=True)
class Part:
    """One suite's part of the page: its file's content, overrides and forecasts."""

    suite: Mapping[str, Any]
    overrides: Sequence[str]
    entries: Sequence[Forecast]

    @property
    def titles(self) -> str:
        """What the suite reproduces."""
        named = [one.table.title.split(", ") for one in published.find(self.suite)]
        return f"{named[0][0]}, {' and '.join(title for _, title in named)}"


def part_of(suite: str, keep: Path | None, workers: int | None) -> Part:
    """Forecast a suite, or read what was kept of it."""
    loaded = load_suite(Path("suites") / f"{suite}.yaml").model_dump(mode="json")
    kept = keep / f"{suite}.json" if keep else None
    if kept and kept.exists():
        entries = [Forecast.model_validate(entry) for entry in json.loads(kept.read_text())]
    else:
        entries = forecast(suite, SUITES[suite], workers)
        if kept:
            durable.write_text(kept, json.dumps([e.model_dump(mode="json") for e in entries]))
    return Part(loaded, SUITES[suite], entries)


def glance(parts: Sequence[Part]) -> str:
    """Return a row per suite: how many methods fit each card, and which memory is furthest off."""
    rows = [
        [part.titles, part.suite['name'], *(fitting(part, card) for card in CARDS),
         furthest(part)] for part in parts
    ]  # fmt: skip
    headers = ["paper", "suite", *(f"fit {said}" for said in CARDS.values()), "memory furthest off"]
    return markdown_grid(headers, rows)


def fitting(part: Part, card: str) -> str:
    """Say how many of the cells fit a card, at all of their stages."""
    cells = lines([entry for entry in part.entries if entry.gpu == card])
    fits = sum(all(entry.fits == "fits" for entry in cell) for cell in cells)
    return f"{fits} of {len(cells)}"


def furthest(part: Part) -> str:
    """Name the printed memory that the forecast is furthest from."""
    found: dict[str, float] = {}
    for one in published.find(part.suite):
        for row in beside(one, of_forecasts(part.entries)):
            share = off(row.forecast, row.printed) if row.printed.metric == "memory" else None
            if share is not None:
                model = row.printed.model.rpartition("/")[2]
                found.setdefault(f"{row.label}, {model}", share)
    if not found:
        return "none printed"
    name = max(found, key=lambda key: abs(found[key]))
    return f"{100 * found[name]:+.1f} % ({name})"


def section(part: Part) -> Iterator[str]:
    """Yield a suite's part of the page."""
    name, entries = part.suite["name"], part.entries
    chosen = f" ({', '.join(part.overrides)})" if part.overrides else ""
    yield f"## {part.titles}: `suites/{name}.yaml`{chosen}"
    yield prose(part.suite["description"].strip())
    yield markdown_table(own_table(name, entries))
    if errors := {entry.cell: entry.error for entry in entries if entry.error}:
        yield "\n".join(f"- {prose(f'{cell}: {error}')}" for cell, error in errors.items())
    for table in published_of_forecasts(part.suite, entries):
        yield from _told(table)


def _told(table: Table[Any]) -> Iterator[str]:
    grid = markdown_table(table)
    notes = "\n".join(f"- {prose(note)}" for note in table.notes)
    if table.folded:
        yield f"<details>\n<summary>{prose(table.title)}</summary>"
        yield from filter(None, (grid, notes))
        yield "</details>"
    else:
        yield from filter(None, (f"### {prose(table.title)}", grid, notes))


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(SUITES))
    parser.add_argument("--out", type=Path, default=Path("reports/papers"))
    parser.add_argument("--workers", type=int, help="processes; default: cores")
    parser.add_argument("--keep", type=Path, help="folder of forecasts: read, or made, a JSON each")
    options = parser.parse_args()
    parts = [part_of(suite, options.keep, options.workers) for suite in options.only]
    blocks = [HEAD, glance(parts), *(block for part in parts for block in section(part))]
    text = "\n\n".join(block.strip("\n") for block in blocks)
    options.out.mkdir(parents=True, exist_ok=True)
    durable.write_text(options.out / "README.md", f"{text}\n")


if __name__ == "__main__":
    main()
