"""Every record of every folder is in the report, among those it compares with and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from records import SUITE, record
from typer.testing import CliRunner

from harness import report
from harness.reporting import sections
from harness.reporting.grouping import grouped, overrides_of
from harness.reporting.groups import Group
from harness.reporting.report import report_of, report_on
from harness.run_files import CHECKSUM, Held
from harness.store import MANIFEST, Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite


def ran(store: Store, *overrides: str, text: str = SUITE, **rest: Any) -> list[Cell]:
    """Do as a run of the suite with these overrides does, for the cells that have no record."""
    file = store.folder.parent / "small.yaml"
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(text)
    suite = load_suite(file, overrides)
    cells = suite.cells()
    store.write_manifest(suite.model_dump(mode="json"), cells)
    for cell in cells:
        if store.read(cell) is None:
            store.write(cell, record(cell, 0.5, **({"invocation": asked(*overrides)} | rest)))
    return cells


def asked(*overrides: str) -> dict[str, Any]:
    return {"command": f"headroom run small.yaml {' '.join(overrides)}", "overrides": overrides}


def groups(*stores: Store) -> list[Group]:
    return grouped([store.held() for store in stores])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "run")


def shape(found: list[Group]) -> list[tuple[str, int, int | None]]:
    return [(group.name, len(group.records), group.expected) for group in found]


def test_one_run_is_one_group_in_the_suite_s_order(store: Store) -> None:
    cells = ran(store)
    [group] = groups(store)
    assert (group.name, group.expected, list(group.notes)) == ("small", 8, [])
    assert [r.path for r in group.records] == [cell.path for cell in cells]


def test_a_rerun_with_an_override_leaves_both_tables(store: Store) -> None:
    ran(store)
    ran(store, "train.max_steps=9")
    assert shape(groups(store)) == [("small (train.max_steps=9)", 8, 8), ("small", 8, None)]
    text = CliRunner().invoke(report.app, [str(store.folder)]).output
    assert "small (train.max_steps=9)" in text
    rows = (store.folder / "results.csv").read_text().splitlines()
    assert len(rows) == 1 + 16


@pytest.mark.parametrize("first", ["tasks=[rte]", "seeds=[0]", "methods=[full]"])
def test_overrides_that_choose_cells_tell_no_groups_apart(store: Store, first: str) -> None:
    ran(store, first)
    ran(store, first.replace("rte", "acceptability").replace("0", "1").replace("full", "lora"))
    assert shape(groups(store)) == [("small", 8, 8)]
    text = "\n".join(group.name for group in groups(store))
    assert "tasks" not in text


def test_a_record_that_an_override_did_not_change_stands_in_both_groups(store: Store) -> None:
    text = f"{SUITE}rules:\n- {{methods: [full], train: {{lr: 0.25}}}}\n"
    ran(store, text=text, started="2026-11-01")
    ran(store, "train.lr=0.25", text=text, started="2026-11-02")
    found = groups(store)
    assert shape(found) == [("small (train.lr=0.25)", 8, 8), ("small", 8, None)]
    shared = [{(r.path, r.key) for r in group.records} for group in found]
    assert {path.split("/")[2] for path, _ in shared[0] & shared[1]} == {"full"}


def test_an_edited_suite_file_leaves_its_earlier_records_in_a_group_that_says_so(
    store: Store,
) -> None:
    ran(store, started="2026-11-01")
    edited = f"{SUITE}rules:\n- {{methods: [full], train: {{lr: 0.25}}}}\n"
    ran(store, text=edited, started="2026-11-02")
    found = groups(store)
    assert shape(found) == [("small", 8, 8), ("small (earlier records)", 4, None)]
    assert {r.method for r in found[1].records} == {"full"}
    [said] = found[1].notes
    assert "train.lr: 0.001, later 0.25" in said


def test_what_has_not_run_is_named(store: Store) -> None:
    cells = ran(store)
    for cell in cells[1:]:
        store.record_file(cell).unlink()
    [group] = groups(store)
    assert (len(group.records), group.expected) == (1, 8)
    [said] = group.notes
    assert said.startswith(f"Without a record: {cells[1].path}, ")
    assert said.endswith(" and 2 more.")


def test_two_machines_make_one_report(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name / "run") for name in "ab"]
    ran(stores[0], "seeds=[0]")
    ran(stores[1], "seeds=[1]")
    assert shape(groups(*stores)) == [("small", 8, 8)]
    shutil.copytree(stores[1].folder / "records", stores[0].folder / "records", dirs_exist_ok=True)
    assert shape(groups(stores[0])) == [("small", 8, 8)]
    assert shape(groups(*stores)) == [("small", 8, 8)], "a copy is no second record"


def test_another_card_is_another_group(tmp_path: Path) -> None:
    gpu = {"memory": 1, "capability": "9.0", "count": 1, "cuda": "13"}
    stores = [Store(tmp_path / name / "run") for name in "ab"]
    for number, store in enumerate(stores):
        card = {"gpu": {"name": f"card {number}"} | gpu, "packages": {"torch": "2"}}
        ran(store, f"seeds=[{number}]", environment=card)
    assert shape(groups(*stores)) == [("small (on card 0)", 4, 4), ("small (on card 1)", 4, 4)]


def test_the_same_cells_run_twice_are_no_seeds(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name / "run") for name in "ab"]
    for store, began in zip(stores, ("2026-11-01", "2026-11-02"), strict=True):
        ran(store, started=began)
    found = groups(*stores)
    assert [len(group.records) for group in found] == [8, 8]
    assert "run again" in found[1].notes[0]


def test_a_cell_that_crashed_before_it_knew_its_card_stands_with_the_others(store: Store) -> None:
    cells = ran(store)
    gone = {"memory": None, "flops": None, "environment": {}, "invocation": None}
    store.write(cells[0], record(cells[0], 0.5, outcome="crashed", **gone))
    assert shape(groups(store)) == [("small", 8, 8)]


def test_records_without_a_manifest_are_reported(store: Store) -> None:
    ran(store)
    (store.folder / MANIFEST).unlink()
    assert shape(groups(store)) == [("small", 8, None)]
    assert CliRunner().invoke(report.app, [str(store.folder)]).exit_code == 0


def test_records_of_before_invocations_are_one_group(store: Store) -> None:
    ran(store, "train.max_steps=9", invocation=None)
    ran(store, "train.max_steps=10")
    assert [overrides_of(r) for r in groups(store)[1].records] == [None] * 8
    assert shape(groups(store))[1] == ("small (overrides not recorded)", 8, None)


def test_two_suites_are_two_groups(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name / "run") for name in "ab"]
    ran(stores[0])
    ran(stores[1], text=SUITE.replace("small", "other"))
    assert shape(groups(*stores)) == [("small", 8, 8), ("other", 8, 8)]


def test_one_record_that_no_table_can_be_made_of_costs_no_other(store: Store) -> None:
    cells = ran(store)
    file = store.record_file(cells[5])
    content = json.loads(file.read_text()) | {"cell": {}}
    content.pop(CHECKSUM)
    file.write_text(json.dumps(content))
    made = report_of([store])
    assert [(each.path, each.key) for each in made.left_out] == [(cells[5].path, cells[5].key)]
    assert len(made.groups[0].records) == 7


def test_the_command_takes_several_folders_a_baseline_and_formats(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name / "run") for name in "ab"]
    ran(stores[0], "seeds=[0]")
    ran(stores[1], "seeds=[1]")
    folders = [str(store.folder) for store in stores]

    def invoke(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(report.app, [*folders, *more])
        return done.exit_code, done.output

    assert invoke()[0] == 2
    out = tmp_path / "report"
    code, text = invoke("--out", str(out), "--baseline", "lora-r8", "--format", "json, latex")
    assert (code, "time/lora-r8" in text) == (0, True)
    assert sorted(file.name for file in out.iterdir()) == ["report.json", "report.tex"]
    code, text = invoke("--out", str(out), "--baseline", "lora-r9")
    assert (code, "lora-r8" in text) == (2, True)
    code, text = invoke("--out", str(out), "--format", "latx")
    assert (code, "'latex'" in text or "latex" in text) == (2, True)


def test_a_folder_of_everything_hides_nothing(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Failed, oom, missing, single-seed, old-schema and old records, and a rerun: all are told."""
    text = SUITE.replace("[full, {lora: {r: 8}}]", "[full, {lora: {r: 8}}, bitfit]")
    cells = ran(store, text=text, started="2026-11-01")
    by_path = {cell.path: cell for cell in cells}
    one = {seed: by_path[f"rte/tiny/lora-r8/s{seed}"] for seed in (0, 1)}
    for seed, outcome in ((0, "oom"), (1, "crashed")):
        store.write(one[seed], record(one[seed], 0.5, outcome=outcome, message=f"a {outcome}",
                                      memory=None, main_score=None))  # fmt: skip
    store.record_file(by_path["rte/tiny/full/s1"]).unlink()
    newer = store.record_file(by_path["acceptability/tiny/full/s0"])
    newer.write_text(newer.read_text().replace('"schema_version": 1', '"schema_version": 0'))
    old = by_path["acceptability/tiny/bitfit/s0"]
    plain = {"invocation": asked(), "epochs": None, "flops": None, "time": None, "data": None,
             "environment": {}, "model": None, "forecast": None}  # fmt: skip
    store.write(old, record(old, 0.4, **plain))
    ran(store, "train.max_steps=9", text=text, started="2026-11-02")
    made = report_of([store])
    assert [group.name for group in made.groups] == ["small (train.max_steps=9)", "small"]
    assert sum(len(group.records) for group in made.groups) == 12 + 10
    told = made.texts["report.md"]
    for part in (
        "- `rte/tiny/lora-r8/s0`: oom: a oom", "- `rte/tiny/lora-r8/s1`: crashed: a crashed",
        "OOM, CRASHED", "(n=1)", "schema_version is 0", "Command: `headroom run small.yaml ",
        "Records that are left out",
    ):  # fmt: skip
        assert part in told, part
    assert "left out: acceptability/tiny/full/s0" in capsys.readouterr().err


def test_a_faulty_record_among_many_is_found_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(SUITE.replace("[0, 1]", str(list(range(32)))))
    found = [record(cell, 0.5) for cell in load_suite(file).cells()]
    found[77].cell = {}
    tried = []

    def section(group: Group, baseline: str | None) -> sections.Section:
        tried.append(len(group.records))
        return sections.section_of(group, baseline)

    monkeypatch.setattr("harness.reporting.report.section_of", section)
    made = report_on([Held(None, found)])
    assert [each.path for each in made.left_out] == [found[77].path]
    assert len(found) == 128
    assert len(tried) <= 2 + 2 * 7 + 2, "not one by one"
