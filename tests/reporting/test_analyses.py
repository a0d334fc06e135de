"""Tables and figures of what analyses found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from records import record

from harness.record import Analysed, Record
from harness.reporting.analyses import analysis_notes, analysis_tables
from harness.reporting.comparison import compare_methods
from harness.reporting.figures.figure import MODES, Figure, png
from harness.reporting.figures.of_records import figures_of
from harness.reporting.groups import Group
from harness.reporting.spreadsheet import to_frame
from harness.suite.load import load_suite

SUITE = """
name: looked
model: {config: tiny-bert, label: tiny}
tasks: [rte]
methods:
  - {lora: {}, label: lora}
  - {safe: {over: lora, tau: 0.5, t_f: {epochs: 0}}, label: safe}
  - {lora: {layers: [0, 1]}, label: lora-0}
  - {lora: {layers: [1, 2]}, label: lora-1}
seeds: [0, 1]
baseline: lora
"""


def analysed(**given: Any) -> Analysed:
    return Analysed(**{"options": {"top": 5}, "seconds": 2.0} | given)


def found(method: str, seed: int) -> dict[str, Analysed]:
    sharp = (10.0 if method == "lora" else 8.0) + seed
    axis = [-1.0, -0.5, 0.0, 0.5, 1.0]
    losses = [[0.1 + sharp / 20 * (x * x + y * y + x * y / 2) for x in axis] for y in axis]
    looks = [[min(1.0, 0.7 + 0.05 * layer + t / 40) for layer in range(6)] for t in range(12)]
    return {
        "cka": analysed(
            headline={"lowest CKA, half-way": 0.9},
            content={"steps": [25 * t for t in range(13)], "layers": ["a"] * 6,
                     "cka": [*looks, [1.0] * 6]},
        ),
        "hessian": analysed(
            headline={"largest eigenvalue, trained": sharp},
            content={"examples": 8, "over": {"trained": {
                "eigenvalues": [sharp / rank for rank in range(1, 6)], "lowest": -1.0}}},
            notes=["over trained: not converged"] if method == "safe" else [],
        ),
        "landscape": analysed(
            headline={"loss at the end": 0.1},
            content={"over": "trained", "examples": 8, "axis": axis, "losses": losses},
        ),
    }  # fmt: skip


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    file = tmp_path / "looked.yaml"
    file.write_text(SUITE)
    return [
        record(
            cell, 0.5 + 0.1 * cell.seed, peak=2**28 if cell.method_label == "lora-0" else 2**27,
            analyses={} if "-" in cell.method_label else found(cell.method_label, cell.seed),
            frozen_at={"layer.1.a": 60} if cell.method_label == "safe" else {},
        )
        for cell in load_suite(file).cells()
    ]  # fmt: skip


def figures(records: list[Record]) -> dict[str, Figure]:
    return {f.name: f for f in figures_of(Group("looked", {"baseline": "lora"}, records))}


def test_a_table_per_analysis_compares_seed_by_seed(records: list[Record]) -> None:
    tables = {t.title: t for t in analysis_tables(compare_methods(records, "lora"))}
    assert list(tables) == ["Analysis: cka", "Analysis: hessian", "Analysis: landscape"]
    table = tables["Analysis: hessian"]
    assert table.headers == ["method", "largest eigenvalue, trained", "below lora's", "seconds"]
    assert table.texts == [
        ["lora", "10.5 ± 0.7071", "-", "2"],
        ["safe", "8.5 ± 0.7071", "2 of 2", "2"],
    ]
    assert table.figures[1][1] == pytest.approx(8.5)


def test_what_speaks_against_a_figure_stands_below(records: list[Record]) -> None:
    notes = "\n".join(analysis_notes(records))
    assert "Analysis hessian: top 5. Beside training" in notes
    assert "hessian, rte/tiny/safe/s0 and 1 more: over trained: not converged." in notes
    assert analysis_notes([r for r in records if not r.analyses]) == []


def test_each_has_its_figure_for_light_and_dark_pages(records: list[Record]) -> None:
    drawn = figures(records)
    ours = {"cka", "hessian", "landscape", "one-layer"}
    assert ours <= set(drawn)
    for name in ours:
        pages = [png(drawn[name], mode) for mode in MODES]
        assert len(set(pages)) == 2
        assert all(page.startswith(b"\x89PNG") for page in pages)
    assert "2 seeds" in drawn["hessian"].caption
    assert "One seed" in drawn["landscape"].caption


def test_without_analyses_there_is_nothing_to_draw(records: list[Record]) -> None:
    plain = [r for r in records if not r.analyses and r.method != "lora-1"]
    assert not {"cka", "hessian", "landscape", "one-layer"} & set(figures(plain))


def test_failed_and_single_runs_leave_the_others_drawn(records: list[Record]) -> None:
    for each in records:
        if each.method == "safe":
            each.analyses = {n: analysed(error="OutOfMemoryError: none") for n in each.analyses}
    drawn = figures([r for r in records if r.seed == 0])
    assert {"cka", "hessian", "landscape"} <= set(drawn)
    assert "one seed" in drawn["hessian"].caption
    for name in ("cka", "hessian", "landscape", "one-layer"):
        png(drawn[name], "light")


def test_a_flat_landscape_and_equal_layers_can_be_drawn(records: list[Record]) -> None:
    for each in records:
        if each.analyses:
            content = each.analyses["landscape"].content
            content["losses"] = [[0.25] * 5 for _ in range(5)]
            each.analyses["cka"].content["cka"] = [[1.0] * 6 for _ in range(13)]
    drawn = figures(records)
    for name in ("cka", "landscape"):
        png(drawn[name], "dark")


def test_a_csv_has_the_headlines_and_no_grids(records: list[Record]) -> None:
    frame = to_frame(records)
    columns = [c for c in frame.columns if c.startswith("analyses.")]
    assert "analyses.hessian.largest eigenvalue, trained" in columns
    assert not [c for c in columns if "losses" in c or "content" in c]
    assert math.isclose(frame["analyses.cka.seconds"].iloc[0], 2.0)
