"""Measurements that this project's suites say: of peft, of SAFE, and of an H100 by ourselves."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from harness.published.published import table
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.units import GIB
from measured.rows import HERE, Row

ROOT = Path(__file__).parents[2]
PEFT = "huggingface/peft: method_comparison/MetaMathQA"
# Column of peft's table -> (what it is, task of the suite, figure of a forecast).
PEFT_KINDS = {
    "max_reserved_bytes": ("peak reserved", "peak", "peak_reserved"),
    "avg_allocated_after_step_bytes": ("allocated after a step", "steady", "at_rest"),
    "p99_reserved_after_step_bytes": ("99 % of reserved after a step", "", ""),
    "avg_reserved_after_step_bytes": ("mean reserved after a step", "", ""),
}
CACHE = "of reserved bytes read after each step, over all steps: their lengths are not published"
FITTED = "lora/llama-3.2-3B-rank32"  # the lengths of the suite are chosen by it alone
LONGEST, STEADY = 689, 220  # tokens
FITTING = (
    "What was fitted: peft's lengths are not published. Those of "
    "`suites/peft_metamathqa_shape.yaml` are of a lognormal distribution (median 190 tokens, sigma "
    "0.41) that the mean, the 99 % and the largest of what `lora rank32` reserved led to. peft's "
    "script sorts buckets of 80 examples from long to short and gives the allocator's cache back "
    "every 10 steps, so before each bucket; forecast are the three shortest batches of one bucket "
    f"and, after the cache was given back, the three longest of the next. The longest ({LONGEST}) "
    "is fitted on the largest memory that `lora rank32` reserved, and the length for bytes at rest "
    f"({STEADY}) on what it had allocated after a step: both of its figures are no test, and are "
    "marked so. The nine other methods have these lengths, and nothing is fitted on them."
)
WHY_NOT = {
    "safe_table1": "SAFE's Table 1: the sequence length is not given",
    "safe_table4": "SAFE's Table 4: means over models and tasks",
    "lora+safe": "under SAFE: one figure of a run whose time of freezing is not given",
}


@cache
def cells_of(suite: str) -> tuple[Cell, ...]:
    """Return a suite's cells of one seed, models by the catalogue's configs."""
    loaded = load_suite(ROOT / "suites" / f"{suite}.yaml", ["seeds=[0]"])
    return tuple(
        cell.model_copy(update={"model": cell.model.catalogued()}) for cell in loaded.cells()
    )


def peft_rows() -> Iterator[Row]:
    """Yield peft's comparison on an L40S: Llama-3.2-3B, ten methods."""
    cells = {
        (cell.task_label, cell.method_label): cell for cell in cells_of("peft_metamathqa_shape")
    }
    with (HERE / "peft_l40s.csv").open(newline="") as stream:
        for given in csv.DictReader(stream):
            name = given["experiment"]
            for column, (kind, task, figure) in PEFT_KINDS.items():
                cell = cells.get((task, _label(name)))
                yield Row(
                    f"peft/{name}", PEFT, "l40s", kind, int(given[column]), figure, cell,
                    why="" if cell else CACHE, fitted=name == FITTED,
                )  # fmt: skip


def _label(experiment: str) -> str:
    """Return the suite's label of an experiment, such as lora/llama-3.2-3B-rank32-dora."""
    method, _, rest = experiment.partition("/")
    tail = rest.removeprefix("llama-3.2-3B-").removeprefix("lr_0.00001").removeprefix("default")
    return f"{method}-{tail}" if tail else method


def safe_rows() -> Iterator[Row]:
    """Yield every memory that SAFE prints; LoRA's rows on SQuAD and of LLaMA can be said."""
    for name, suite in (("safe_table1", ""), ("safe_table2", "safe_squad"), ("safe_table4", ""),
                        ("safe_fig6", "safe_wikitext")):  # fmt: skip
        published = table(name)
        for figure in published.figures:
            if figure.metric != "memory" or figure.value is None:
                continue
            model = figure.model.rpartition("/")[2]
            found = [
                cell for cell in (cells_of(suite) if suite else ())
                if cell.model.name == model and cell.method_label == figure.method
            ]  # fmt: skip
            why = "" if found else WHY_NOT.get(name) or WHY_NOT[figure.method]
            card = "rtx4090" if name == "safe_table2" else "a100-80"
            yield Row(
                f"SAFE/{model}/{figure.method}", published.title, card, "peak allocated, inferred",
                round(figure.value * GIB), "peak_allocated" if found else "",
                found[0] if found else None, (INFERRED[name],) if found else (), why,
            )  # fmt: skip


INFERRED = {
    "safe_table2": "length, precision, kernel and which memory are inferred",
    "safe_fig6": "precision, kernel, card and which memory are inferred",
}


def own_rows() -> Iterator[Row]:
    """Yield what this project measured on an H100: reports/safe_table1/steps.csv."""
    cells = {
        (cell.task_label, str(cell.axes["attention"]), cell.method_label): cell
        for cell in cells_of("safe_table1_shape")
    }
    file = ROOT / "reports" / "safe_table1" / "steps.csv"
    with file.open(newline="") as stream:
        for given in csv.DictReader(stream):
            method, stage = given["method"], given["stage"]
            cell = cells[f"glue-{given['length']}", given["attention"], method]
            for kind in ("peak_allocated", "peak_reserved"):
                yield Row(
                    f"h100/{method}/{stage}/{given['length']}/{given['attention']}",
                    "this project: reports/safe_table1", "h100", kind.replace("_", " "),
                    int(given[kind]), kind, cell, stage=stage,
                )  # fmt: skip
