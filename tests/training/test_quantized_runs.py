"""Runs over a quantised base: trained, measured, resumed, exported and read back, or refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from cells import cell_of, rows, setup_of, silent
from peft.utils.integrations import dequantize_module_weight
from tiny import batch
from torch import Tensor

from harness.cell import run_cell
from harness.errors import UserError
from harness.export import load
from harness.models.quantized import Quantization, of_bitsandbytes
from harness.store import Store
from harness.suite import preflight
from harness.training.loop import Loop
from methods import surgery

pytest.importorskip("bitsandbytes")
NF4 = ("train.weights=nf4", "train.double_quant=true")
NF4_FP32 = Quantization("nf4", True, torch.float32, torch.float32)
SHORT = (rows(64, 16), "train.epochs=1")


def outputs(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(**batch()).logits


@pytest.mark.parametrize("method", ["{lora: {r: 4}}", "pfeiffer"])
def test_a_run_is_what_was_forecast_and_its_adapter_goes_onto_its_base(
    tmp_path: Path, method: str
) -> None:
    """An export of peft's and one of ours; each puts out what another reading of it does."""
    cell = cell_of(tmp_path, method, *NF4, *SHORT)
    record = run_cell(cell, silent, export=("adapter", Store(tmp_path)))
    assert record.outcome == "ok", record.log_tail
    memory, foreseen = record.memory, record.forecast.stages["training"]
    assert abs(foreseen.peak_allocated - memory.peak_training) <= 8  # 4 of any base: a scalar
    assert abs(foreseen.peak_evaluation - memory.peak_evaluation) <= 8
    folder = tmp_path / record.export.folder
    read = load(folder)
    assert surgery.quantized_names(read)
    assert torch.equal(outputs(read), outputs(load(folder)))
    fresh = setup_of(cell).model
    assert not torch.allclose(outputs(read), outputs(fresh), atol=1e-4)


def test_what_a_machine_or_an_export_cannot_have_is_refused_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(tmp_path, "lora", *NF4)
    with pytest.raises(UserError, match=r"train\.weights = nf4: a model with .* --export adapter"):
        preflight.check_cells([cell], "model")
    preflight.check_cells([cell], "adapter")
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"bitsandbytes is not installed \(pip install .*forecast"):
        preflight.check_cells([cell])


def test_training_moves_adapters_and_leaves_packed_weights_as_they_are(tmp_path: Path) -> None:
    """And learns: adapters over a base in 4 bits end with a lower loss than they began with."""
    setup = setup_of(cell_of(tmp_path, "{lora: {r: 4}}", *NF4, *SHORT, "train.lr=1e-2"))
    before = {name: tensor.clone() for name, tensor in setup.model.state_dict().items()}
    Loop(setup).run()
    moved = {
        name for name, tensor in setup.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }  # fmt: skip
    trained = {name for name, p in setup.model.named_parameters() if p.requires_grad}
    assert moved == trained


def test_a_quantised_product_is_that_of_its_dequantised_weight() -> None:
    """Output and gradient, so that a step on the packed base is a step on what it stands for."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 48)
    for how in (NF4_FP32, Quantization("int8", False, torch.float32, torch.float32)):
        layer = of_bitsandbytes(deepcopy(linear), how).train()
        x = torch.randn(3, 64, requires_grad=True)
        out = layer(x)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        whole = dequantize_module_weight(of_bitsandbytes(deepcopy(linear), how))
        expected = torch.nn.functional.linear(x, whole, linear.bias)
        (wanted,) = torch.autograd.grad(expected.square().sum(), x)
        assert torch.allclose(out, expected, atol=1e-5)
        assert torch.allclose(gradient, wanted, atol=1e-4)
        assert (whole - linear.weight).abs().max() < 0.03
