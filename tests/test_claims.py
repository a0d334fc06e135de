"""What texts claim: counts, rows, figures and table numbers are those of what they speak of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.suite.load import load_suite
from methods import names as method_names

ROOT = Path(__file__).resolve().parents[1]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
TEXTS = [
    *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *SUITES, *ROOT.glob("reports/*/*.md"),
    *ROOT.glob("tests/forecasting/*.py"), *ROOT.glob("benchmarks/*.py"),
    *ROOT.glob("harness/**/*.py"), *ROOT.glob("methods/**/*.py"),
]  # fmt: skip


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_a_description_counts_right(file: Path) -> None:
    suite = load_suite(file)
    counts = {
        "ways": {len(suite.methods)},
        "GLUE tasks": {len(suite.tasks)},
        "seeds": {len(suite.seeds)},
        "epochs": {cell.train.epochs for cell in suite.cells()},
    }
    for noun, count in counts.items():
        for word in re.findall(rf"(\w+) {noun}", suite.description):
            assert {NUMBERS.index(word.lower()) + 1} == count, suite.description
    if suite.description.startswith("Every method but `peft`"):
        assert {entry.name for entry in suite.methods} == {*method_names()} - {"peft"}


# The rows of the papers' GLUE tables, as the suites call them.
ROWS = {
    "glue": ["full", "lora", "adalora", "sora", "elora", "aflora"],  # AFLoRA, Table 1
    "safe_glue": ["lora", "lora-upper-half", "lora-adapterdrop", "lora-sparseadapter",
                  "lora-loraprune", "lora-meft", "lora-safe"],  # SAFE, Table 1
    "safe_glue_base": ["lora", "safe-lora", "bitfit", "safe-bitfit", "houlsby", "safe-houlsby"],
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_a_glue_table_is_in_its_suite(name: str) -> None:
    suite = load_suite(ROOT / "suites" / f"{name}.yaml")
    assert {task.name for task in suite.tasks} == {
        "cola", "sst2", "mrpc", "qnli", "stsb", "rte", "mnli", "qqp",
    }  # fmt: skip
    assert set(ROWS[name]) <= {entry.label or entry.name for entry in suite.methods}


# SAFE, appendix C.4: learning rate x 1e-4 and epochs on BERT-base, for LoRA, BitFit and Houlsby.
BERT_BASE = {
    "cola": (6, 9, 5, 100), "sst2": (7, 7, 2, 75), "mnli": (9, 8, 4, 50), "rte": (9, 8, 4, 100),
    "qqp": (4, 6, 4, 50), "mrpc": (5, 5, 5, 50), "qnli": (5, 5, 4, 50), "stsb": (8, 9, 5, 50),
}  # fmt: skip


def test_table_6_is_set_as_published() -> None:
    for cell in load_suite(ROOT / "suites" / "safe_glue_base.yaml").cells():
        method = cell.method_label.removeprefix("safe-")
        *rates, epochs = BERT_BASE[cell.task_label]
        rate = dict(zip(("lora", "bitfit", "houlsby"), rates, strict=True))[method]
        assert cell.train.lr == pytest.approx(rate * 1e-4), cell.path
        assert cell.train.epochs == epochs
        small = (cell.task_label, method) == ("mrpc", "lora")
        assert cell.train.batch_size == (16 if small else 32)


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_fourth_row_stands_wherever_the_three_do(file: Path) -> None:
    text = file.read_text()
    if sum(figure in text for figure in ("5.95", "15.79", "11.51")) > 1:
        for figure in ("17.73", "15.88", "10.4"):
            assert figure in text, "RoBERTa-large is a row of the same table"
    for line in text.splitlines():
        if "SAFE" in line and "SQuAD" in line:
            assert not re.search(r"Tables? (?!2\b)\d", line), f"SQuAD is SAFE's Table 2: {line}"


def tables_of(file: str) -> list[list[list[str]]]:
    """Every table of a Markdown file: rows of cells without marks, the header first."""
    tables: list[list[list[str]]] = []
    before = ""
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append([part.strip(" *") for part in line.strip("|").split("|")])
        before = line
    return [[header, *rows] for header, _, *rows in tables]


def test_readme_shows_the_report_of_the_quick_suite() -> None:
    main = tables_of("reports/quick/report.md")[0]
    assert main in tables_of("README.md")
    assert len(main) == 7, "six methods"


def test_readme_s_first_figures_are_the_report_s() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    found = re.search(r"trains (\d+) times fewer.*\((\S+) MiB against (\S+) MiB", text)
    assert found
    tables = tables_of("reports/quick/report.md")

    def read(method: str, column: str) -> str:
        header, *rows = next(table for table in tables if column in table[0])
        return next(row[header.index(column)] for row in rows if row[0] == method)

    share = float(read("full", "adapter").rstrip("M")) / float(
        read("lora-r8", "adapter").rstrip("M")
    )
    held = [read(method, "activations") for method in ("lora-r8", "full")]
    assert [*found.groups()] == [str(round(share)), *held]
