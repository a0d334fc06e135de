"""Damaged run folders: the rest is reported, and what is left out is named with its reason."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from records import eight_cells, record
from typer.testing import CliRunner

from harness import durable, report, run
from harness.budgets.figures import figures_of
from harness.budgets.spot import Spot
from harness.errors import UserError
from harness.run_files import CHECKSUM
from harness.store import MANIFEST, Store
from harness.suite.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


@pytest.fixture
def store(cells: list[Cell], tmp_path: Path) -> Store:
    store = Store(tmp_path / "run")
    store.write_manifest({"name": "small"}, cells)
    for number, cell in enumerate(cells):
        store.write(cell, record(cell, 0.5 + number / 100))
    return store


def invoke(store: Store) -> tuple[int, str]:
    done = CliRunner().invoke(report.app, [str(store.folder)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def edit(file: Path, **changes: Any) -> None:
    """Change a record as of a time before checksums: what it says is taken as it is."""
    content = json.loads(file.read_text())
    content.pop(CHECKSUM, None)
    file.write_text(json.dumps(content | changes))


def test_an_undamaged_folder_leaves_nothing_out(store: Store) -> None:
    code, output = invoke(store)
    assert (code, "left out" in output) == (0, False)
    assert "left out" not in (store.folder / "report.md").read_text()


WHOLE = {
    "torn": (lambda text: text[: len(text) // 2], "record"),
    "empty": (lambda text: b"", "record"),
    "not UTF-8": (lambda text: text.replace(b"abacus", b"abac\xfcs"), "not UTF-8"),
    "a digit": (lambda text: text.replace(b'"main_score": 0.5', b'"main_score": 0.9'), "checksum"),
    "other schema": (
        lambda text: text.replace(b'"schema_version": 1', b'"schema_version": 2'),
        "schema_version is 2",
    ),
    "no mapping": (lambda text: b"[1]", "no mapping"),
    "deep": (lambda text: b"[" * 100_000, "record"),
    "twice": (lambda text: text.replace(b"{", b'{"key": "x",', 1), "twice"),
    "infinite": (lambda text: text.replace(b'"main_score": 0.5', b'"main_score": 1e999'), "large"),
}


@pytest.mark.parametrize(("damage", "said"), WHOLE.values(), ids=WHOLE)
def test_a_record_that_cannot_be_believed_is_named(
    cells: list[Cell], store: Store, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    file = store.record_file(cells[0])
    text = file.read_bytes()
    assert damage(text) != text
    file.write_bytes(damage(text))
    code, output = invoke(store)
    assert code == 1
    for told in (output, (store.folder / "report.md").read_text()):
        [line] = [line for line in told.splitlines() if file.name in line]
        assert f"{file.relative_to(store.folder)}: " in line
        assert cells[0].path in line
        assert str(store.folder) not in line
        assert said in line
    assert "7 of 8 cells have run" in (store.folder / "report.md").read_text()
    capsys.readouterr()
    assert not store.is_done(cells[0])
    assert not store.is_done(cells[0])
    assert capsys.readouterr().err.count(f"no record of {cells[0].path}") == 1


def test_a_record_in_another_cells_file_is_no_second_seed(cells: list[Cell], store: Store) -> None:
    first, second = (store.record_file(cell) for cell in cells[:2])
    second.write_bytes(first.read_bytes())
    code, output = invoke(store)
    assert code == 1
    assert f"it is the record of {cells[0].path}" in output
    assert len(store.records()) == len(cells) - 1
    assert not store.is_done(cells[1])


def test_what_is_left_out_is_kept_beside_the_new_record(cells: list[Cell], store: Store) -> None:
    file = store.record_file(cells[0])
    newer = file.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 2')
    for number in (1, 2):
        file.write_bytes(newer)
        store.write(cells[0], record(cells[0], 0.25))
        kept = file.with_name(f"{file.name}.unread-{number}")
        assert kept.read_bytes() == newer
    assert store.is_done(cells[0])
    store.write(cells[0], record(cells[0], 0.26))
    assert len(list(file.parent.glob(f"{file.name}*"))) == 3, "a good one is simply replaced"


CONTENT = {
    "no settings": {"cell": {}},
    "settings of another kind": {"cell": {"protocol": 1, "train": []}},
    "no phases": {"memory": {
        "meter": "cuda", "phases": [], "peak_training": 2**40, "peak_step_mean": 0,
        "peak_last_phase": 0,
    }},
    "more bytes than a number holds": {"parameters": {
        "total": 10**400, "adapter_trainable": 10**400, "head_trainable": 1, "adapter_stored": 1,
        "adapter_trainable_mean": 1.0,
    }},
}  # fmt: skip


@pytest.mark.parametrize("changes", CONTENT.values(), ids=CONTENT)
def test_content_that_no_table_can_be_made_of_does_not_take_the_report_down(
    cells: list[Cell], store: Store, changes: dict[str, Any]
) -> None:
    edit(store.record_file(cells[0]), **changes)
    code, output = invoke(store)
    assert code == 1
    assert f"left out: {cells[0].path}: no table can be made with it: " in output
    text = (store.folder / "report.md").read_text()
    assert f"- `{cells[0].path}`: no table" in text
    assert "51.00" in text, "of the other seed"


def test_a_metric_that_one_seed_has_costs_no_seed(cells: list[Cell], store: Store) -> None:
    edit(store.record_file(cells[0]), reported={"accuracy": 0.5, "other": 1.0})
    assert invoke(store)[0] == 0
    assert len(store.records()) == len(cells)


@pytest.mark.parametrize("said", ["a sentence", 7, {"a": "b"}, None, ["one", 2]])
@pytest.mark.parametrize("field", ["shortfalls", "remarks", "warnings"])
def test_what_a_method_says_is_sentences_whatever_it_is(
    cells: list[Cell], store: Store, field: str, said: Any
) -> None:
    changes = {"method_state": {"warnings": said}} if field == "warnings" else {field: said}
    edit(store.record_file(cells[0]), **changes)
    assert invoke(store)[0] == 0
    assert len(store.records()) == len(cells)


def test_what_a_method_reports_does_not_cost_the_record(cells: list[Cell], store: Store) -> None:
    odd = record(cells[0], 0.5)
    odd.method_state = {"a": object(), "b": float("nan"), "\udc80": "\udc80", "warnings": "text"}
    odd.shortfalls = "a sentence"  # type: ignore[assignment]
    store.write(cells[0], odd)
    read = store.read(cells[0])
    assert read is not None
    assert read.method_state["b"] is None
    assert read.shortfalls == ["a sentence"]
    assert invoke(store)[0] == 0


def test_a_full_disk_leaves_the_older_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(store)[0] == 0
    names = ("report.md", "comparison.csv", "results.csv")
    before = [(store.folder / name).read_bytes() for name in names]

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "_to_disk", full)
    code, output = invoke(store)
    assert code == 2
    assert f"error: {store.folder / 'report.md'}: No space left on device" in output
    assert "tiny" in output.partition("error: ")[0], "the tables are printed all the same"
    assert [(store.folder / name).read_bytes() for name in names] == before
    assert not list(store.folder.glob(".*.tmp"))


def test_run_says_which_record_it_cannot_read(
    cells: list[Cell], store: Store, tmp_path: Path
) -> None:
    store.record_file(cells[0]).write_text("{")
    command = [str(tmp_path / "small.yaml"), "--dry-run", "--out", str(store.folder)]
    done = CliRunner().invoke(run.app, command)
    assert done.exit_code == 0
    assert done.output.count(f"no record of {cells[0].path}: ") == 1
    assert "8 cells, 1 to run" in done.output


def test_all_records_unreadable_is_said(cells: list[Cell], store: Store) -> None:
    for cell in cells:
        store.record_file(cell).write_text("{")
    code, output = invoke(store)
    assert code == 2
    assert output.count("left out: ") == len(cells)
    assert "8 cannot" in output


def test_a_budget_says_why_a_measured_cell_has_no_figure(cells: list[Cell], store: Store) -> None:
    store.record_file(cells[0]).write_text("{")
    edit(store.record_file(cells[1]), **CONTENT["no phases"])
    found = figures_of(store.folder)
    assert len(found.cells) == len(cells) - 2
    assert store.record_file(cells[0]).name in found.why_none(Spot(cells[0].path, "cpu"))
    assert "no peak" in found.why_none(Spot(cells[1].path, "cpu"))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"suite": {}, "cells": []}', '{"suite": {"name": "x"}, "cells": [5]}',
     '{"suite": {"name": "x"}, "cells": [{"path": "../../../../s0", "key": "a"}]}',
     '{"suite": {"name": "x"}, "cells": [{"path": "a/b/c/s0", "key": "../a"}]}',
     '{"suite": {"name": "x"}, "cells": [{"path": "a/b/s0", "key": "a"}]}',
     '{"suite": {"name": "x", "description": 5}, "cells": []}', "[" * 100_000],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(store: Store, text: str) -> None:
    (store.folder / MANIFEST).write_text(text)
    with pytest.raises(UserError, match="holds no run"):
        store.contents()
    assert invoke(store)[0] == 2


def test_a_pipe_in_a_records_place_is_not_waited_for(cells: list[Cell], store: Store) -> None:
    for place, said in ((store.record_file(cells[0]), "left out"), (store.folder / MANIFEST, "no")):
        place.unlink()
        os.mkfifo(place)
        code, output = invoke(store)
        assert (code in (1, 2), said in output) == (True, True)
        assert "no regular file" in output


def test_a_cell_that_the_manifest_lists_twice_counts_for_none(store: Store) -> None:
    file = store.folder / MANIFEST
    content = json.loads(file.read_text())
    content["cells"].append(content["cells"][0])
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="twice"):
        store.contents()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3),
    max_leaves=4,
)  # fmt: skip


@fuzzed(40)
@given(data=st.data())
def test_any_value_anywhere_leaves_the_others_their_report(
    cells: list[Cell], store: Store, data: st.DataObject
) -> None:
    file = store.record_file(cells[0])
    store.write(cells[0], record(cells[0], 0.5))
    content = json.loads(file.read_text())
    content.pop(CHECKSUM)
    draw_into(content, data)
    file.write_text(json.dumps(content))
    code, output = invoke(store)
    assert code in (0, 1), output
    assert (code == 1) == ("left out: " in output)


@fuzzed(40)
@given(data=st.data())
def test_any_value_anywhere_in_the_manifest_is_an_error_or_a_report(
    cells: list[Cell], store: Store, data: st.DataObject
) -> None:
    store.write_manifest({"name": "small", "description": "d", "baseline": "full"}, cells)
    file = store.folder / MANIFEST
    content = json.loads(file.read_text())
    draw_into(content, data)
    file.write_text(json.dumps(content))
    code, output = invoke(store)
    assert code in (0, 2), output


def draw_into(content: Any, data: st.DataObject) -> None:
    """Put any value into any place."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(VALUES)


@fuzzed(200)
@given(data=st.data())
def test_no_changed_byte_of_a_record_is_believed(
    cells: list[Cell], store: Store, data: st.DataObject
) -> None:
    file, whole = store.record_file(cells[0]), record(cells[0], 0.5)
    store.write(cells[0], whole)
    file.write_bytes(changed_bytes(data, file.read_bytes()))
    assert store.read(cells[0]) in (None, whole)
