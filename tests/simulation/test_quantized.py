"""Quantised bases: the layers of a forecast hold and make what bitsandbytes' do."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import asked
import pytest
import torch
from real import real_batch, real_model, real_run, real_state
from tiny_models import tiny
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.errors import UserError
from harness.metering.flops import forward_flops, step_flops
from harness.metering.ledger import Ledger
from harness.models.quantized import Quantization, of_bitsandbytes, quantize
from harness.simulation.fake import FakeRun, fake_run
from harness.simulation.quantized import StandIns
from harness.simulation.target import CPU, Target
from methods import surgery
from methods.quantized import remarks, scales

pytest.importorskip("bitsandbytes")
SM80 = Target(kind="cuda", capability=(8, 0))
HALF, FULL = torch.bfloat16, torch.float32
NF4 = Quantization("nf4", True, HALF, FULL)
LAYERS = {
    "nf4, double": NF4,
    "fp4": Quantization("fp4", False, HALF, HALF),
    "nf4, products in fp32": Quantization("nf4", True, FULL, FULL),
    "int8": Quantization("int8", False, HALF, FULL),
    "int8, the rest in 16 bits": Quantization("int8", False, HALF, HALF),
}
ROWS, D_IN, D_OUT = 16, 512, 768


def peaks_of(layer: Any, x: Tensor, since_forward: bool) -> dict[str, int]:
    """Return what a layer holds and the most that lives in forward and backward, in bytes."""
    held = [*layer.parameters(), *(tensor for _, tensor in scales(layer))]
    layer(x)  # 8-bit layers find their scales in the first one
    ledger = Ledger({"weights.base": held}, inputs=[x])
    with ledger:
        ledger.mark("forward")
        out = layer(x)
        ledger.mark("backward")
        if since_forward:
            out.backward(torch.ones_like(out))
        ledger.mark("end")
    report = ledger.report()
    return {**report.peaks, "held": report.split["weights.base"]}


@pytest.mark.parametrize(("name", "training"), product(LAYERS, (True, False)))
def test_a_layer_makes_what_bitsandbytes_makes(name: str, training: bool) -> None:
    """On the CPU, where the weight that forward makes is inside of an operator."""
    how = LAYERS[name]

    def measured(make: Any) -> dict[str, int]:
        layer = make(nn.Linear(D_IN, D_OUT, dtype=how.compute), how).train(training)
        if how.kind == "int8":
            layer.bias.data = layer.bias.data.to(how.rest)
        x = torch.zeros(2, ROWS // 2, D_IN, dtype=how.rest, requires_grad=training)
        with torch.set_grad_enabled(training):
            return peaks_of(layer, x, training)

    with FakeTensorMode():
        hollow = measured(StandIns(CPU))
    assert hollow == measured(of_bitsandbytes)


@pytest.mark.parametrize("rows", [1, 4, 5, 64])
def test_cuda_makes_the_weight_of_4_bits_from_five_rows_on(rows: int) -> None:
    """In forward; and always in backward, where it lives with the output's gradient."""
    weight, made = D_IN * D_OUT, 2 * D_IN * D_OUT
    blocks = weight // 64
    with FakeTensorMode():
        layer: Any = StandIns(SM80)(nn.Linear(D_IN, D_OUT, bias=False, dtype=HALF), NF4)
        x = torch.zeros(rows, D_IN, dtype=HALF, requires_grad=True)
        peaks = peaks_of(layer, x, since_forward=True)
    held = weight // 2 + blocks + 4 * (16 + 1 + blocks // 256 + 256)
    assert peaks["held"] == held
    out, into = 2 * rows * D_OUT, 2 * rows * D_IN
    assert peaks["forward"] == held + into + out + (0 if rows <= 4 else made + 2 * 4 * blocks)
    assert peaks["backward"] >= held + into + out + made


def test_cuda_sums_8_bit_products_in_32_bits_and_keeps_the_input() -> None:
    how = Quantization("int8", False, HALF, HALF)
    with FakeTensorMode():
        layer: Any = StandIns(SM80)(nn.Linear(D_IN, D_OUT, bias=False, dtype=HALF), how)
        x = torch.zeros(ROWS, D_IN, dtype=HALF, requires_grad=True)
        peaks = peaks_of(layer, x, since_forward=True)
    held = D_IN * D_OUT + 4 * D_OUT
    rows = ROWS * (D_IN + 4)  # of 8 bits, with their scales
    assert peaks["forward"] == held + 2 * ROWS * D_IN * 2 + rows + ROWS * D_OUT * (4 + 2 + 2) - (
        2 * ROWS * D_IN  # fp16 of the input is gone by then
    )


STEPS: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "QLoRA": ("tiny-llama", "causal_lm", "lora", {"targets": "all-linear"},
              {"weights": "nf4", "double_quant": True}),
    "autocast": ("tiny-llama", "causal_lm", "lora", {},
                 {"weights": "nf4", "compute": "bf16", "autocast": True}),
    "all in 16 bits": ("tiny-llama", "causal_lm", "lora", {},
                       {"weights": "fp4", "adapters": "same", "unquantized": "compute"}),
    "8 bits, checkpointed": ("tiny-gpt2", "causal_lm", "lora", {"targets": "all-linear"},
                             {"weights": "int8", "gradient_checkpointing": True}),
    "encoder-decoder": ("tiny-bart", "seq2seq", "aflora", {}, {"weights": "nf4"}),
    "adapters between layers": ("tiny-bert", "classification", "pfeiffer", {},
                                {"weights": "int8", "train_pooler": True}),
    "peft reads weights": ("tiny-llama", "causal_lm", "peft", {"type": "LORA", "use_dora": True},
                           {"weights": "nf4", "double_quant": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_real_step_is_the_forecast_to_the_byte(name: str) -> None:
    model, family, method, options, train = STEPS[name]
    what = asked.request(model, method, options, family=family, target=CPU, **train)
    foreseen, real = asked.forked(fake_run, what).report, real_run(what)
    assert (foreseen.peaks, foreseen.at_rest, foreseen.saved) == (
        real.peaks, real.at_rest, real.saved,
    )  # fmt: skip
    assert foreseen.split == real.split


def without_package(what: Any) -> FakeRun:
    """Run a forecast where bitsandbytes is not installed."""
    from peft import import_utils

    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
    import_utils.is_bnb_available.cache_clear()
    import_utils.is_bnb_4bit_available.cache_clear()
    assert not import_utils.is_bnb_available()
    run = fake_run(what)
    assert sys.modules["bitsandbytes"] is None
    return run


def test_a_forecast_needs_no_package() -> None:
    what = asked.request("tiny-llama", family="causal_lm", weights="nf4")
    assert asked.forked(without_package, what).report == asked.forked(fake_run, what).report


@pytest.mark.parametrize(
    ("model", "family", "stay"),
    [
        ("tiny-llama", "causal_lm", {"lm_head"}),
        ("tiny-gpt2", "causal_lm", {"lm_head"}),
        ("tiny-bert", "classification", {"classifier"}),
        ("tiny-roberta", "classification", {"classifier.dense", "classifier.out_proj"}),
    ],
)
def test_what_is_quantised(model: str, family: str, stay: set[str]) -> None:
    """All linear layers but output embeddings and the head that trains; counts are of numbers."""
    asked_for = asked.request(model, family=family, target=CPU, weights="nf4")
    plain = real_model(asked.request(model, family=family, target=CPU))
    there = {name for name, module in plain.named_modules() if surgery.is_linear(module)}
    quantised = real_model(asked_for)
    assert there - set(surgery.quantized_names(quantised)) == stay
    assert surgery.num_parameters(quantised) == surgery.num_parameters(plain)
    rest = {p.dtype for p in quantised.parameters() if p.is_floating_point()}
    assert rest == {FULL, HALF} if family != "causal_lm" or model == "tiny-gpt2" else {FULL}


@pytest.mark.parametrize(
    ("model", "method", "options", "reason"),
    [
        ("tiny-bert", "full", {}, "full trains every weight"),
        ("tiny-bert", "bitfit", {}, "bias would train"),
        ("tiny-bert", "loraprune", {}, "is quantised"),
        ("tiny-bert", "peft", {"type": "LOHA"}, "LOHA computes with its whole weights; lora"),
        ("tiny-gpt2", "lora", {"targets": "qv"}, r"name it whole, such as targets: \[c_attn\]"),
    ],
)
def test_what_cannot_be_over_a_quantised_base_says_why(
    model: str, method: str, options: dict[str, Any], reason: str
) -> None:
    family = "causal_lm" if model == "tiny-gpt2" else "classification"
    what = asked.request(model, method, options, family=family, target=CPU, weights="nf4")
    with pytest.raises(UserError, match=reason):
        asked.forked(fake_run, what)
    with pytest.raises(ValueError, match=reason):
        real_state(what)


@pytest.mark.parametrize("weights", ["nf4", "int8"])
def test_flops_are_those_of_the_model_as_it_was(weights: str) -> None:
    """Forward and step, counted on real layers; and the step's, foreseen."""
    options: dict[str, Any] = {"family": "causal_lm", "target": CPU, "steps": ((2, 24),)}
    counted = {}
    for kind in ("fp32", weights):
        what = asked.request("tiny-llama", weights=kind, **options)
        state = real_state(what)
        batch = real_batch(what, state.model)
        counted[kind] = (forward_flops(state.model, batch).flops, step_flops(state.model, batch))
    assert counted[weights] == counted["fp32"]
    assert asked.forked(fake_run, what).flops_step == counted[weights][1]


@pytest.mark.parametrize(
    ("kind", "packed", "remark"),
    [
        ("mixtral", {"q_proj", "k_proj", "v_proj", "o_proj"}, "49,152 of 183,712 numbers stay in"),
        ("mamba", {"in_proj"}, None),  # the others' weights go into a kernel, uncalled
    ],
)
def test_what_stays_of_other_structures_is_told_and_the_model_runs(
    kind: str, packed: set[str], remark: str | None
) -> None:
    model = tiny(kind, "AutoModelForCausalLM")
    quantize(model, Quantization("nf4", True, FULL, FULL))
    assert {name.rpartition(".")[2] for name in surgery.quantized_names(model)} == packed
    ids = torch.ones(1, 8, dtype=torch.int64)
    assert model(input_ids=ids, labels=ids).loss.isfinite()
    said = remarks(model)
    assert (remark is None) == (not said)
    assert remark is None or remark in said[0]
