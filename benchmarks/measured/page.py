"""The report of forecasts against public measurements: Markdown, CSV and a figure."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.reporting.figures.against import Point, against_figures
from harness.reporting.figures.figure import Figure
from harness.reporting.inline import prose
from harness.reporting.markdown import markdown_grid
from harness.units import gib
from measured.others import FITTING
from measured.rows import Row, words

# Where a row is from, by the beginning of its name: what a reader calls it.
SOURCES = {
    "fitcheck": "fitcheck-llm, Tesla T4",
    "fms": "fms-acceleration, A100 80 GB",
    "peft/": "peft's comparison, L40S",
    "SAFE": "SAFE's paper",
    "optimum-benchmark": "optimum-benchmark, MI250 and A10G",
    "litgpt": "litgpt, A100 40 GB and A10G",
    "canifinetune": "canifinetune, RTX 4080",
    "torchtune": "torchtune's README, RTX 4090 and A100",
    "torchao": "torchao's README, RTX 4070 Ti Super",
    "axolotl3800": "axolotl's pull request 3800, RTX 3090 and 5090",
    "hfdocs": "transformers' documentation",
    "h100": "this project, H100",
}
KINDS = {
    "peak_allocated": "peak allocated", "peak_reserved": "peak reserved",
    "at_rest": "allocated at rest", "device": "process, by the driver",
}  # fmt: skip
OWN = "h100"


@dataclass(frozen=True)
class Pair:
    """One measurement beside its forecast, in bytes; `choices` are kernels and versions."""

    row: Row
    forecast: int
    choices: Mapping[str, str]

    @property
    def error(self) -> float:
        """Forecast over measured minus 1; negative: an under-estimate."""
        return self.forecast / self.row.measured - 1

    @property
    def source(self) -> str:
        """Where it is from, as the page calls it."""
        return next(said for start, said in SOURCES.items() if self.row.name.startswith(start))

    @property
    def kind(self) -> str:
        """Which memory it is."""
        return KINDS[self.row.figure]


@dataclass(frozen=True)
class Tried:
    """A measurement beside the forecast of another loss or loop; `said`: which."""

    said: str
    pair: Pair


def against(pairs: Sequence[Pair]) -> list[Figure]:
    """Return the figure of all points."""
    points = [Point(p.row.said, p.forecast, p.row.measured, p.kind) for p in pairs]
    return against_figures(points, f"{_versions(pairs)}. All of it is in reports/measured.")


def page(pairs: Sequence[Pair], without: Sequence[Row], tried: Sequence[Tried] = ()) -> str:
    """Return the page: summary, figure, what is far off, all points, what cannot be said."""
    outside = [pair for pair in pairs if not pair.row.name.startswith(OWN)]
    public = len(outside) + len(without)
    blocks = [
        "# Forecast against what others measured",
        "`python benchmarks/measured_forecasts.py`: no GPU, no hub, no weights. Of "
        f"{public:,} figures of memory on real GPUs that others published, today's settings say "
        f"{len(outside)}; why not the other {len(without)} is told below. Beside them stand "
        f"{len(pairs) - len(outside)} that this project measured on an H100.",
        _picture(against(pairs)),
        "## By source and kind of memory",
        _summary(pairs),
        "Error: forecast over measured minus 1; under: how many are under-estimates, by however "
        f"little. 1 GiB = 2^30 B. {_versions(pairs)}; what was measured is of other versions "
        "(`benchmarks/measured/public.csv`).",
        "Where something stands in for what was run (a loss, a kernel, a card), it is told below "
        "the points of its source. SAFE's settings are inferred.",
        FITTING,
        *_apart(pairs),
        *_trials(tried),
        "## All points",
        *(block for source in dict.fromkeys(p.source for p in pairs)
          for block in _points(source, [p for p in pairs if p.source == source])),
        "## What cannot be said",
        f"{len(without)} figures; the settings have no sharding, no offloading, no compiler and no "
        "models but those of transformers.",
        "<details>\n<summary>By reason</summary>",
        markdown_grid(["reason", "figures", "of"], _reasons(without)),
        "</details>",
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _picture(drawn: Sequence[Figure]) -> str:
    name = drawn[0].name
    return (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="figures/{name}-dark.png">'
        f'\n<img alt="{drawn[0].title}" src="figures/{name}.png">\n</picture>\n\n'
        f"{prose(drawn[0].caption)}"
    )


def _versions(pairs: Sequence[Pair]) -> str:
    names = ("torch", "transformers", "peft")
    said = ", ".join(f"{name} {pairs[0].choices[name]}" for name in names)
    return f"Forecast with {said}"


def _summary(pairs: Sequence[Pair]) -> str:
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.source, pair.kind), []).append(pair)
    rows = [[f"{source}: {kind}", *_sums(own)] for (source, kind), own in groups.items()]
    outside = [pair for pair in pairs if not pair.row.name.startswith(OWN)]
    rows += [["all of others", *_sums(outside)]]
    headers = ["source and kind", "figures", "median error, %", "lowest, %", "highest, %", "under"]
    return markdown_grid(headers, rows)


def _sums(pairs: Sequence[Pair]) -> list[str]:
    errors = [pair.error for pair in pairs]
    under = sum(error < 0 for error in errors)
    middle = f"{100 * median(map(abs, errors)):.2f}"
    return [str(len(errors)), middle, _signed(min(errors)), _signed(max(errors)), str(under)]


def _signed(error: float) -> str:
    return f"{100 * error:+.2f}"


def _apart(pairs: Sequence[Pair]) -> Iterable[str]:
    """Yield what is far off, by what is known of it."""
    worth = float(words()["worth"])
    reasons: dict[str, list[Pair]] = {}
    for pair in pairs:
        if abs(pair.error) > worth:
            reasons.setdefault(_reason(pair), []).append(pair)
    yield f"## More than {100 * worth:.0f} % off"
    yield (
        f"{sum(map(len, reasons.values()))} of {len(pairs)}. What is not explained is called so."
    )
    lines = []
    for why, own in reasons.items():
        lines.append(f"- {prose(why)}:")
        for pair in own:
            said = f"{pair.row.said}, {pair.source}: {pair.kind}"
            lines.append(f"  - {prose(said)} **{_signed(pair.error)} %**")
    yield "\n".join(lines)


def _reason(pair: Pair) -> str:
    for known in words()["apart"]:
        row = pair.row
        same = all(getattr(row, key) == known[key] for key in ("kind", "attention") if key in known)
        if row.name.startswith(known["name"]) and same:
            return known["why"] or "Not explained"
    return "Not explained"


def _trials(tried: Sequence[Tried]) -> Iterable[str]:
    """Yield what was tried beside what settings say."""
    if not tried:
        return
    yield "## Another loss, another loop"
    yield words()["tried"]
    yield markdown_grid(
        ["run", "what is other", "memory", "measured GiB", "forecast GiB", "error, %"],
        [[t.pair.row.said, t.said, t.pair.kind, gib(t.pair.row.measured), gib(t.pair.forecast),
          _signed(t.pair.error)] for t in tried],
    )  # fmt: skip


def _points(source: str, pairs: Sequence[Pair]) -> Iterable[str]:
    """Yield one source's points, folded, and what stands in for what was run."""
    yield f"<details>\n<summary>{source}: {len(pairs)}</summary>"
    yield markdown_grid(
        ["run", "memory", "measured GiB", "forecast GiB", "error, %"],
        [[p.row.said + (" (fitted)" if p.row.fitted else ""), p.kind, gib(p.row.measured),
          gib(p.forecast), _signed(p.error)] for p in pairs],
    )  # fmt: skip
    stands_in = Counter(by for p in pairs for by in p.row.by)
    if stands_in:
        yield "Stands in: " + "; ".join(f"{prose(by)} ({n})" for by, n in stands_in.items()) + "."
    yield "</details>"


def _reasons(without: Sequence[Row]) -> list[list[str]]:
    groups: dict[str, Counter[str]] = {}
    for row in without:
        groups.setdefault(row.why, Counter())[row.name.split("/")[0].split("#")[0]] += 1
    ordered = sorted(groups.items(), key=lambda item: -item[1].total())
    return [[why, str(of.total()), ", ".join(of)] for why, of in ordered]


def points_csv(pairs: Sequence[Pair], without: Sequence[Row]) -> str:
    """Return every figure, forecast or not, with its source."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["run", "kind", "measured (B)", "forecast (B)", "error (fraction)", "card",
                     "stands in", "fitted", "why not", "source"])  # fmt: skip
    tell: Callable[[Row, list[object]], None] = lambda row, ours: writer.writerow(  # noqa: E731
        [row.name, row.kind, row.measured, *ours, row.card, "; ".join(row.by),
         int(row.fitted), row.why, row.source]
    )  # fmt: skip
    for pair in pairs:
        tell(pair.row, [pair.forecast, f"{pair.error:.6f}"])
    for row in without:
        tell(row, ["", ""])
    return stream.getvalue()
