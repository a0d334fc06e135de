"""The page of forecast step times against measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import correlation, median, quantiles
from typing import TYPE_CHECKING

from harness.reporting.inline import prose
from harness.reporting.markdown import markdown_grid
from measured.times import Timed

if TYPE_CHECKING:
    from step_times import Against

    from harness.timing.times import StepTime

HEAD = """# Forecast step times against measured ones

`python benchmarks/step_times.py`: no GPU, no weights. A step is traced on tensors without values,
and its operators are timed with the card's datasheet and the constants below (docs/timing.md).
Errors are forecast over measured, less 1.
"""
CONSTANTS = [
    ("host, an operator", "12 us on peft's machine, 16 us on the H100's",
     "the L40S's rows; all rows of the H100"),
    ("products in 16 bits on an L40S", "0.60 of the dense peak", "the L40S's rows"),
    ("products in fp32 without tensor cores", "0.35 of the peak on 8.6, 8.9, 12.0; else 0.70",
     "the L40S's rows; all rows of the H100"),
    ("L2 over memory; writes into L2 that reach the memory", "3; 0.5", "the L40S's rows"),
    ("bandwidth of foreach kernels", "0.8 of other kernels'", "full fine-tuning, L40S"),
    ("views that C++ makes in a row", "0.15 of an operator", "BOFT, L40S"),
    ("bandwidth of the memory", "0.8 of the datasheet's", "no row"),
    ("smallest kernel; a factorisation's column", "2.5 us; 2 us", "no row"),
    ("depth of the queue", "1,024 launches", "no row"),
]  # fmt: skip
FITTED = """\
Those of the L40S were chosen together, among a few hundred combinations of round numbers,
by 17 of its rows (AdaLoRA, BOFT and OSF left out); those of the H100 are two numbers, compared with
two or three neighbours. *Families held out* fits the host and both shares of products anew, on the
rows of all other families; the rest stays as it is.
"""
TRUTH = """\
**L40S**: 20 runs of peft's own comparison (method_comparison/MetaMathQA: Llama-3.2-3B, bf16
base, fp32 adapters, batches of 4), medians over 20 windows of 250 steps. Of their lengths only the
mean is published, 839.6 tokens a step. They are taken for lognormal with sigma 0.41, as memory led
to (reports/measured), sorted within 80 texts as that script does; a forecast is the mean over the
batches. Its loop pads with the tokenizer in every step and gives memory back to the driver in every
tenth; the forecast has neither. AdaLoRA is this project's, which updates its means in one pass.

**H100**: the 52 stages and settings of reports/safe_table1, medians of five steps.
"""


def page(pairs: Sequence[Against], held_out: Mapping[str, tuple[float, StepTime]]) -> str:
    """Return the whole page.

    Args:
        pairs: of both cards.
        held_out: by the name of an L40S's row, seconds of its baseline and its own time, with
            constants fitted on other families.
    """
    by_card = {card: [p for p in pairs if p.row.card == card] for card in ("l40s", "h100")}
    seconds = {pair.row.name: pair.time.seconds for pair in pairs}
    measured = {pair.row.name: pair.row.seconds for pair in pairs}

    def ratio_error(row: Timed, ours: float, baseline: float) -> float:
        return (ours / baseline) / (row.seconds / measured[row.baseline]) - 1

    summary, tables = [], []
    for card, of in by_card.items():
        errors = [pair.error for pair in of]
        ratios = [
            ratio_error(p.row, p.time.seconds, seconds[p.row.baseline])
            for p in of
            if p.row.name != p.row.baseline
        ]
        rank = correlation(
            _ranks([p.time.seconds for p in of]), _ranks([p.row.seconds for p in of])
        )
        summary.append([card, f"{len(of)}", _both(errors), _both(ratios), f"{rank:.3f}"])
        tables.append(f"## {card}\n\n{_table(of, seconds, measured)}\n")
    rows = [pair.row for pair in by_card["l40s"]]
    errors = [held_out[row.name][1].seconds / row.seconds - 1 for row in rows]
    ratios = [
        ratio_error(row, held_out[row.name][1].seconds, held_out[row.name][0])
        for row in rows
        if row.name != row.baseline
    ]
    summary.append(["l40s, families held out", f"{len(rows)}", _both(errors), _both(ratios), ""])
    headers = ["set", "rows", "time: median, 90 %", "ratio to LoRA: median, 90 %", "Spearman"]
    fitted = markdown_grid(["constant", "value", "fitted on"], [list(each) for each in CONSTANTS])
    text = f"{HEAD}\n{markdown_grid(headers, summary)}\n\n{TRUTH}\n"
    text += f"## Which constants were fitted on which rows\n\n{fitted}\n\n{FITTED}\n"
    return text + "\n".join(tables)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return each value's place in their order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    return [float(order.index(i)) for i in range(len(values))]


def _both(errors: Sequence[float]) -> str:
    sizes = [abs(error) for error in errors]
    return (
        f"{100 * median(sizes):.1f} %, {100 * quantiles(sizes, n=10, method='inclusive')[8]:.1f} %"
    )


def _table(
    pairs: Sequence[Against], seconds: Mapping[str, float], measured: Mapping[str, float]
) -> str:
    rows = []
    for row, time, at_least in pairs:
        ratio, true = time.seconds / seconds[row.baseline], row.seconds / measured[row.baseline]
        more = ">= " if at_least else ""
        rows.append([
            prose(row.name), f"{more}{ratio:.2f}", f"{true:.2f}",
            f"{100 * (ratio / true - 1):+.1f}",
            f"{more}{1e3 * time.seconds:.1f}", f"{1e3 * row.seconds:.1f}",
            f"{100 * (time.seconds / row.seconds - 1):+.1f}",
            f"{1e3 * time.host:.0f} / {1e3 * time.device:.0f}",
            "host" if time.host > time.device else "device",
        ])  # fmt: skip
    headers = ["run", "ratio", "measured", "error %", "ms", "measured", "error %", "host / device",
               "binds"]  # fmt: skip
    return markdown_grid(headers, rows)
