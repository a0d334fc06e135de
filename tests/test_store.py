"""The store: whole records or none, and one run at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from records import eight_cells, record

from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def test_a_torn_or_foreign_record_counts_as_none(cells: list[Cell], tmp_path: Path) -> None:
    store, cell = Store(tmp_path), cells[0]
    assert not store.is_done(cell)
    store.write(cell, record(cell, 0.5))
    assert store.is_done(cell)
    file = store.record_file(cell)
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert not store.is_done(cell)
    file.write_text(whole.replace('"schema_version": 1', '"schema_version": 0'))
    assert not store.is_done(cell)


OUTCOMES = {
    "ok": True, "oom": True, "diverged": True, "crashed": False, "interrupted": False,
    "unfit": False,
}  # fmt: skip


@pytest.mark.parametrize(("outcome", "done"), OUTCOMES.items())
def test_results_are_final_and_accidents_are_not(
    cells: list[Cell], tmp_path: Path, outcome: str, done: bool
) -> None:
    store = Store(tmp_path)
    store.write(cells[0], record(cells[0], 0.5, outcome=outcome))
    assert store.is_done(cells[0]) is done


def test_records_come_in_the_order_of_the_manifest(cells: list[Cell], tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    for cell in reversed(cells[1:]):
        store.write(cell, record(cell, 0.5))
    store.write_manifest({"name": "small"}, cells)
    assert [one.path for one in store.records()] == [cell.path for cell in cells[1:]]


def test_a_folder_in_use_is_refused_and_says_by_whom(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lock(), pytest.raises(UserError, match=r"in use by process \d+ on"), \
            store.lock(patience=0.1):  # fmt: skip
        pass
    with store.lock(patience=0.1):
        pass


def test_places_keep_other_settings_apart(cells: list[Cell], tmp_path: Path) -> None:
    store, cell = Store(tmp_path), cells[0]
    exports = [partial(store.export_folder, kind=kind) for kind in ("adapter", "model")]
    places = (store.record_file, store.log_file, store.checkpoint_folder, *exports)
    assert len({place(cell) for place in places}) == 5
    assert all(cell.key in str(place(cell)) and cell.path in str(place(cell)) for place in places)
