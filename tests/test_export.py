"""What a run leaves to deploy: adapters and models, reloaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from cells import PRUNED_SETTINGS, cell_of, rows, silent, suite_file
from tiny import batch
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from harness.cell import run_cell
from harness.errors import UserError
from harness.export import load
from harness.record import Record
from harness.reporting.groups import Group
from harness.reporting.markdown import render
from harness.reporting.sections import Report, section_of
from harness.run import app
from harness.store import Store

LORA_BIAS = "{peft: {type: LORA, r: 4, lora_bias: true, target_modules: qv}}"


def outputs(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(**batch()).logits


def test_the_exported_model_needs_no_base_weights(pruned: tuple[Record, Path]) -> None:
    record, folder = pruned
    export = record.export
    assert export.bytes == sum(f.stat().st_size for f in (folder / export.folder).iterdir())
    first, second = (outputs(load(folder / export.folder)) for _ in range(2))
    assert torch.equal(first, second)
    assert load(folder / export.folder).config.model_type == "bert"


def test_a_merged_model_is_one_that_transformers_reads(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{lora: {r: 4}}", *PRUNED_SETTINGS)
    record = run_cell(cell, silent, export=("model", Store(tmp_path)))
    folder = tmp_path / record.export.folder
    read = AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.allclose(outputs(read), outputs(load(folder)), atol=1e-6)


def test_an_adapter_is_small_and_goes_onto_its_base(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{lora: {r: 4, targets: qv}}", *PRUNED_SETTINGS)
    record = run_cell(cell, silent, export=("adapter", Store(tmp_path)))
    folder = tmp_path / record.export.folder
    trained = record.parameters.adapter_trainable + record.parameters.head_trainable
    size = (folder / "adapter_model.safetensors").stat().st_size
    assert 4 * trained <= size < 4 * trained + 8192
    deployed = load(folder)
    assert not any("lora" in name for name, _ in deployed.named_parameters())
    assert outputs(deployed).isfinite().all()


def test_a_folder_without_an_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no export"):
        load(tmp_path)


@pytest.mark.usefixtures("forked_cells")
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
    kept, written = Store(out).folder / record.export.folder, record.model_dump_json()
    again = CliRunner().invoke(app, [*command, "--export", "model"])
    said = again.output + capfd.readouterr().out
    assert "bitfit/s0: model of its adapter, for transformers" in said
    assert outputs(load(kept.parent / "model")).equal(outputs(load(kept)))
    assert Store(out).records()[0].model_dump_json() == written, "nothing trained again"
    shutil.rmtree(kept)
    shutil.rmtree(kept.parent / "model")
    gone = CliRunner().invoke(app, [*command, "--export", "model"])
    assert "1 cells finished before without this export" in gone.output + capfd.readouterr().out


def test_an_export_that_fails_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As merging does that peft cannot do (lora_bias on layers without a bias)."""
    cell = cell_of(tmp_path, LORA_BIAS, "model.config=tiny-llama", *PRUNED_SETTINGS)
    record = run_cell(cell, silent, export=("model", Store(tmp_path)))
    assert (record.outcome, record.export) == ("ok", None)
    assert record.main_score is not None
    assert "not exported: RuntimeError: Impossible to merge LoRA" in (record.message or "")
    assert not list(tmp_path.rglob("*.safetensors"))
    report = render(Report([section_of(Group("small", {"name": "small"}, [record]))]))
    assert f"- `{cell.path}`: not exported: RuntimeError" in report
