"""What a run does after its last step: compaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from cells import PRUNED_METHOD, PRUNED_SETTINGS, cell_of, setup_of
from torch import Tensor

from harness.record import Record
from harness.reporting.compacted import compacted_notes, compacted_tables
from harness.training.loop import Loop


def test_the_compacted_model_scores_alike_and_costs_less(pruned: tuple[Record, Path]) -> None:
    record, _ = pruned
    after, last = record.compacted, record.memory.phases[-1]
    assert record.outcome == "ok", record.message
    assert after.scores == record.scores
    assert after.parameters_total < record.parameters.total
    assert after.forward < record.flops.forward
    assert after.memory.peak_allocated < last.peak_allocated
    assert after.memory.flops / after.memory.steps < last.flops / last.steps
    assert after.memory.step_median > 0


def test_the_compacted_phase_is_none_of_the_run(pruned: tuple[Record, Path]) -> None:
    record, _ = pruned
    assert sum(phase.steps for phase in record.memory.phases) == record.steps
    assert record.memory.peak_training > record.compacted.memory.peak_allocated


def test_measuring_it_moves_no_weight(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, PRUNED_METHOD, *PRUNED_SETTINGS))
    seen: list[dict[str, Tensor]] = []
    compact = setup.handle.compact

    def note() -> Any:
        change = compact()
        seen.append({n: p.detach().clone() for n, p in setup.model.named_parameters()})
        return change

    setup.handle.compact = note  # type: ignore[method-assign]
    Loop(setup).run()
    assert all(torch.equal(p, seen[0][name]) for name, p in setup.model.named_parameters())


def test_the_report_has_a_table_of_before_and_after(pruned: tuple[Record, Path]) -> None:
    record, _ = pruned
    (table,) = compacted_tables([record])
    (row,) = table.texts
    figures = dict(zip(table.headers, row, strict=True))
    assert "→" not in figures["score"], "it is the same"
    assert figures["score"] != "-"
    peak, less = (float(text.replace(",", "")) for text in figures["peak"].split(" → "))
    assert less < peak
    assert {"peak (B)", "peak, compacted (B)"} <= {*table.figure_headers}
    assert compacted_notes([record])
