"""The papers' figures as data: all there, each table with a suite or a reason, rows with cells."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from harness import tasks
from harness.errors import UserError
from harness.published import published
from harness.published.published import MEAN, find, reproducible, table, tasks_of
from harness.reporting.published import LETTERS
from harness.reporting.published_notes import NAMES
from harness.suite.load import load_suite
from harness.suite.suite import Suite

SUITES = sorted(Path("suites").glob("*.yaml"))
# Figures of each table, as counted in the papers.
FIGURES = {
    "aflora_table1": 72, "aflora_table2": 4, "aflora_table3": 6, "aflora_table4": 24,
    "aflora_table5": 42, "aflora_table6": 32, "aflora_table7": 72, "aflora_code7": 48,
    "aflora_table8": 16, "aflora_fig3": 9, "aflora_fig5": 48, "aflora_text": 5,
    "safe_table1": 79, "safe_table2": 32, "safe_table3": 22, "safe_table4": 27, "safe_table5": 76,
    "safe_table6": 57, "safe_fig1": 3, "safe_fig6": 3, "safe_text": 7, "safe_tablec3": 95,
    "safe_tablec4": 319,
}  # fmt: skip
# Rows of a table that a suite which names it does not have: why is in the suite.
WITHOUT_A_METHOD = {
    ("safe_squad_shape", "safe_table2"): ["lora+safe"],  # LoRA's alone, as it says
    ("safe_memory_breakdown", "safe_fig1"): ["adapters"],  # of adapters in general
}
GIVEN = """\
name: x
model: {config: tiny-bert}
tasks: [rte]
methods: [full, {lora: {r: 8}}]
published: %s
"""


@cache
def suite_of(file: Path) -> Suite:
    return load_suite(file)


@cache
def named() -> dict[str, list[str]]:
    return {
        file.stem: [one.table.name for one in find(suite_of(file).model_dump(mode="json"))]
        for file in SUITES
    }


def test_every_figure_is_there() -> None:
    assert {name: len(table(name).figures) for name in published.names()} == FIGURES
    files = {file.stem for file in Path("harness/published/tables").glob("*.csv")}
    assert files == {*published.names()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_table_has_a_suite_or_says_why_not(name: str) -> None:
    suites = [stem for stem, tables in named().items() if name in tables]
    assert bool(suites) == (name in reproducible())
    assert bool(suites) != bool(table(name).no_suite)


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_rows_models_and_tasks_of_a_table_are_in_the_suite(file: Path) -> None:
    suite = suite_of(file)
    cells = suite.cells()
    labels = {cell.method_label for cell in cells}
    models = {cell.model.name.lower() for cell in cells}
    names = {cell.task.name for cell in cells}
    for one in find(suite.model_dump(mode="json")):
        missing = [row for row in one.table.methods if one.label(row) not in labels]
        assert missing == WITHOUT_A_METHOD.get((file.stem, one.table.name), [])
        printed = {figure.model.rpartition("/")[2].lower() for figure in one.table.figures}
        assert printed - {MEAN, ""} <= models, one.table.name
        if names != {"shape"}:
            of_it = {task for figure in one.table.figures for task in tasks_of(figure.task)}
            # Tables 4 of SAFE and AFLoRA are of several suites, or of fewer tasks.
            assert of_it & names if one.table.name == "safe_table4" else of_it <= names


@pytest.mark.parametrize("name", reproducible())
def test_tasks_and_metrics_have_the_names_that_records_use(name: str) -> None:
    for figure in table(name).figures:
        of_it = tasks_of(figure.task)
        assert figure.task == "" or {*of_it} <= {*tasks.names()}
        metric = figure.metric.partition(" ")[0]
        if figure.metric not in NAMES and metric != "average":
            assert all(metric in tasks.get_task(task).metrics for task in of_it), figure
        assert figure.value is not None or figure.flag == "not reported"


def test_how_parameters_are_counted_is_said_of_every_count_that_was_computed() -> None:
    lora = table("aflora_table1").counted["lora_r8"]
    assert lora.startswith("1327104: adapters only; head (1538)")
    for name in reproducible():
        assert {*table(name).counted} <= {*table(name).methods}
    assert sum(len(table(name).counted) for name in reproducible()) == 14


@pytest.mark.parametrize("name", reproducible())
def test_there_are_letters_for_all_flags_of_a_table(name: str) -> None:
    assert len({figure.flag for figure in table(name).figures}) <= len(LETTERS)


def test_flags_stand_where_the_figures_stand() -> None:
    squad = table("safe_table2").figures
    assert all("row order inferred" in figure.flag for figure in squad)
    memory = {(f.model, f.method): f.text for f in squad if f.metric == "memory"}
    assert memory["roberta-large", "lora"] == "17.73"
    assert len(memory) == 8, "all four rows"
    copied = [f for f in table("aflora_table1").figures if f.flag == "copied from SoRA paper"]
    assert len(copied) == 44
    odd = [f.flag for f in table("aflora_table5").figures if f.flag]
    assert odd[0] == "printed avg; mean of the row is 88.37"


def test_what_a_suite_reproduces_is_no_part_of_its_cells_and_absent_unless_said() -> None:
    file = Path("suites/safe_squad.yaml")
    with_, without = load_suite(file), load_suite(file, ["published=[]"])
    assert with_.published
    assert [cell.key for cell in with_.cells()] == [cell.key for cell in without.cells()]
    assert "published" not in without.model_dump(mode="json")


@pytest.mark.parametrize(
    ("said", "tables"),
    [("safe_table2", ["safe_table2"]), ("[safe_table1, safe_table2]", ["safe_table1",
     "safe_table2"]), ("{aflora_table1: {fft: full}, safe_fig6: }", ["aflora_table1",
     "safe_fig6"])],
)  # fmt: skip
def test_three_spellings(said: str, tables: list[str], tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GIVEN % said)
    assert list(load_suite(file).published) == tables
    # What the command line leaves of the methods is no mistake of the rows.
    assert list(load_suite(file, ["methods=[lora]"]).published) == tables


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("safe_tabel2", ["x.yaml:5", "'safe_tabel2'", "did you mean 'safe_table2'"]),
        ("safe_tablec4", ["x.yaml:5", "settings, not results"]),
        ("{safe_table2: {lora+saef: full}}", ["x.yaml:5", "'lora+saef'", "'lora+safe'"]),
        ("{safe_table2: {lora: lora-r9}}", ["x.yaml:5", "safe_table2.lora", "'lora-r8'"]),
        ("7", ["x.yaml:5", "published", "7"]),
    ],
)
def test_what_is_no_table_row_or_method_is_refused(
    said: str, words: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(GIVEN % said)
    with pytest.raises(UserError) as error:
        load_suite(file)
    for word in words:
        assert word in str(error.value)
