"""What a run does after its last step: compaction, and what it writes to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, rows, setup_of, silent, suite_file
from tiny import batch
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from harness.cell import run_cell
from harness.errors import UserError
from harness.export import load
from harness.record import Record
from harness.reporting.compacted import compacted_notes, compacted_tables
from harness.run import app
from harness.store import Store
from harness.training.loop import Loop

SETTINGS = (rows(64, 16), "train.padding=max", "train.epochs=3", "train.lr=1.0e-2")
PRUNED = "{loraprune: {r: 4, interval: 2, warm_up: 0}}"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    """A LoRAPrune run with its model exported."""
    folder = tmp_path_factory.mktemp("pruned")
    cell = cell_of(folder, PRUNED, *SETTINGS)
    return run_cell(cell, silent, export=("model", Store(folder))), folder


def outputs(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(**batch()).logits


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
    setup = setup_of(cell_of(tmp_path, PRUNED, *SETTINGS))
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
    assert figures["score"] == figures["score, compacted"] != "-"
    peak, less = (float(figures[f"peak{end}"].replace(",", "")) for end in ("", ", compacted"))
    assert less < peak
    assert compacted_notes([record])


def test_the_exported_model_needs_no_base_weights(pruned: tuple[Record, Path]) -> None:
    record, folder = pruned
    export = record.export
    assert export.bytes == sum(f.stat().st_size for f in (folder / export.folder).iterdir())
    first, second = (outputs(load(folder / export.folder)) for _ in range(2))
    assert torch.equal(first, second)
    assert load(folder / export.folder).config.model_type == "bert"


def test_a_merged_model_is_one_that_transformers_reads(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{lora: {r: 4}}", *SETTINGS)
    record = run_cell(cell, silent, export=("model", Store(tmp_path)))
    folder = tmp_path / record.export.folder
    read = AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.allclose(outputs(read), outputs(load(folder)), atol=1e-6)


def test_an_adapter_is_small_and_goes_onto_its_base(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{lora: {r: 4, targets: qv}}", *SETTINGS)
    record = run_cell(cell, silent, export=("adapter", Store(tmp_path)))
    folder = tmp_path / record.export.folder
    trained = record.parameters.adapter_trainable + record.parameters.head_trainable
    size = (folder / "adapter.safetensors").stat().st_size
    assert 4 * trained <= size < 4 * trained + 8192
    deployed = load(folder)
    assert not any("lora" in name for name, _ in deployed.named_parameters())
    assert outputs(deployed).isfinite().all()


def test_a_folder_without_an_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no export"):
        load(tmp_path)


def test_the_command_exports_and_says_what_it_cannot(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = suite_file(tmp_path, "bitfit"), tmp_path / "run"
    command = [str(file), rows(64, 16), "train.max_steps=2", "--out", str(out)]
    assert CliRunner().invoke(app, [*command, "--export", "adapter"]).exit_code == 0
    (record,) = Store(out).records()
    assert record.outcome == "ok", record.log_tail
    assert outputs(load(out / record.export.folder)).isfinite().all()
    assert "acceptability" in record.export.folder
    again = CliRunner().invoke(app, [*command, "--export", "model"])
    assert "1 cells finished before without this export" in again.output + capfd.readouterr().out
