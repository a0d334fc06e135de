"""FLOPs against known figures: BERT-large, batch 1, length 128."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification

from harness.metering.flops import fit_step_flops, forward_flops, step_flops
from harness.models.config import build_config
from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.tasks.families import get_family
from methods import get_method, surgery
from methods.base import Plan

GIGA = 1e9


def build(name: str, device: str, attention: str = "sdpa") -> nn.Module:
    config = build_config(ModelSpec(config=name))
    config.pad_token_id = 0
    with torch.device(device):
        model: nn.Module = AutoModelForSequenceClassification.from_config(
            config, attn_implementation=attention
        )
    return model


def batch(examples: int, length: int) -> dict[str, Tensor]:
    ids = torch.ones(examples, length, dtype=torch.int64)
    ids[:, -1] = 2  # BART looks for an end of sentence
    labels = torch.zeros(examples, dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": ids.clone(), "labels": labels}


def without_labels(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in inputs.items() if name != "labels"}


def meta_batch() -> dict[str, Tensor]:
    """One example of 128 tokens; a mask's values would be looked at, and meta has none."""
    found = {name: value.to("meta") for name, value in batch(1, 128).items()}
    del found["attention_mask"]
    return found


def test_forward_of_bert_large() -> None:
    found = forward_flops(build("bert-large-uncased", "meta"), without_labels(meta_batch()))
    assert found.note is None
    assert found.flops / GIGA == pytest.approx(78.92, rel=0.005)
    assert found.macs is not None
    assert found.macs / GIGA == pytest.approx(39.49, rel=0.005)
    assert not any("scaled_dot_product" in name for name in found.unsupported)


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-llama", "tiny-gpt2", "tiny-bart"])
def test_attention_is_not_silently_zero(name: str) -> None:
    """Two counters, two kernels: whichever forgot attention would fall out of line."""
    counts = [
        forward_flops(build(name, "cpu", k), without_labels(batch(1, 64)))
        for k in ("eager", "sdpa")
    ]
    assert counts[0].flops == counts[1].flops
    for found in counts:
        assert found.note is None
        assert found.macs is not None
        # fvcore counts layer norm, too, which weighs more the smaller the model is.
        assert 1 <= 2 * found.macs / found.flops < 1.03


def test_what_cannot_be_traced_is_said_not_zero() -> None:
    class Untraceable(nn.Module):
        def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
            if torch.jit.is_tracing():
                raise RuntimeError("not me")
            return {"logits": input_ids.float() @ input_ids.float().T}

    found = forward_flops(Untraceable(), {"input_ids": torch.ones(4, 8)})
    assert found.macs is None
    assert found.note is not None
    assert found.note.startswith("fvcore: RuntimeError: not me")
    assert found.flops == 2 * 4 * 4 * 8


def test_a_failing_step_leaves_gradients_and_mode() -> None:
    model = build("tiny-bert", "cpu").train()
    model(**batch(1, 8)).loss.backward()
    wrong = {**batch(1, 8), "labels": torch.zeros(3, dtype=torch.int64)}
    with pytest.raises(ValueError, match="batch_size"):
        step_flops(model, wrong)
    assert model.classifier.weight.grad is not None
    assert model.training


@pytest.mark.parametrize(
    ("method", "frozen", "expected"),
    [("full", 0, 237.6), ("lora", 0, 159.8), ("lora", 12, 119.0), ("lora", 22, 85.0)],
)
def test_training_step_of_bert_large(method: str, frozen: int, expected: float) -> None:
    model = build("bert-large-uncased", "meta", "eager")
    options = {"r": 4, "alpha": 16, "targets": "qv"} if method == "lora" else {}
    handle = get_method(method)(**options).attach(model, Plan(1, 1, 1))
    for unit in handle.units()[:frozen]:
        for parameter in unit:
            parameter.requires_grad_(False)
    found = step_flops(handle.model, meta_batch())
    # The figures are for fused attention; on meta tensors only the unfused kernel runs.
    fused = found + (24 - frozen) * recomputed_by_fused_attention(1024, 128)
    assert fused / GIGA == pytest.approx(expected, rel=0.005)


def recomputed_by_fused_attention(hidden: int, length: int) -> int:
    """FLOPs per layer: fused kernels keep no probabilities, so backward forms QK^T once more."""
    return 2 * length * length * hidden


def test_fused_attention_costs_one_product_more_in_backward() -> None:
    inputs = {name: value for name, value in batch(1, 64).items() if name != "attention_mask"}
    models = (build("tiny-bert", "cpu", kind).eval() for kind in ("eager", "sdpa"))
    # In evaluation mode: with dropout the CPU has no fused kernel.
    eager, fused = (step_flops(model, inputs) for model in models)
    assert fused - eager == 2 * recomputed_by_fused_attention(64, 64)


@pytest.mark.parametrize(
    "name", ["tiny-bert", "tiny-deberta-v2", "tiny-llama", "tiny-gpt2", "tiny-bart"]
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_three_short_batches_give_every_other_shape(name: str, attention: str) -> None:
    if name == "tiny-deberta-v2" and attention == "sdpa":
        pytest.skip("transformers has eager attention only for DeBERTa-v2")
    model = build(name, "cpu", attention)
    surgery.freeze_base(model, Plan(1, 1, 1))
    fit = fit_step_flops(model, lambda shape: batch(shape.examples, shape.length))
    for examples, length in ((1, 64), (3, 16), (4, 50)):
        measured = step_flops(model, batch(examples, length))
        assert fit.at(BatchShape(examples, length)) == pytest.approx(measured, rel=1e-6)


def test_labels_of_their_own_length_have_their_own_terms() -> None:
    family = get_family("seq2seq")
    model = load_model(ModelSpec(config="tiny-bart"), family=family, num_labels=2,
                       attention="eager", dtype=torch.float32, seed=0)  # fmt: skip
    surgery.freeze_base(model, Plan(1, 1, 1))
    surgery.layers(model)[-1].requires_grad_(True)  # part of the decoder trains

    def sample(shape: BatchShape) -> dict[str, Tensor]:
        batch = family.hollow_batch(model, shape, mask=True, dtype=torch.float32)
        return {name: torch.full_like(value, 2) for name, value in batch.items()}

    fit = fit_step_flops(model, sample, targets=(12, 20, 28))
    for shape in (BatchShape(1, 64, 8), BatchShape(3, 16, 40), BatchShape(4, 50, 31)):
        assert fit.at(shape) == pytest.approx(step_flops(model, sample(shape)), rel=1e-6)
    assert fit.at(BatchShape(1, 16, 80)) > fit.at(BatchShape(1, 16, 8))


@pytest.mark.parametrize(
    ("family", "name"), [("causal_lm", "tiny-gpt2"), ("question_answering", "tiny-bert"),
                         ("image", "tiny-vit")],
)  # fmt: skip
def test_both_counters_know_every_head(family: str, name: str) -> None:
    kind = get_family(family)
    model = load_model(ModelSpec(config=name), family=kind, num_labels=2, attention="eager",
                       dtype=torch.float32, seed=0)  # fmt: skip
    hollow = kind.hollow_batch(model, BatchShape(1, 64), mask=False, dtype=torch.float32)
    counts = forward_flops(model, kind.inputs({n: torch.ones_like(t) for n, t in hollow.items()}))
    assert counts.note is None
    assert counts.macs is not None
    assert 1 <= 2 * counts.macs / counts.flops < 1.06


def test_counting_leaves_no_trace() -> None:
    model = build("tiny-bert", "cpu").train()
    model.bert.pooler.eval()
    model(**batch(1, 8)).loss.backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    state = torch.get_rng_state()
    forward_flops(model, without_labels(batch(1, 8)))
    step_flops(model, batch(1, 8))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert not model.bert.pooler.training
    for name, parameter in model.named_parameters():
        if name in before:
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, before[name])


def test_aflora_against_elora_on_deberta() -> None:
    """Published: 2.96 times less (AFLoRA, Fig. 3), which counts linear layers alone."""
    counts: dict[str, dict[str, int]] = {}
    for name, options in {"aflora": {"r": 4}, "elora": {"r": 1024}, "lora": {"r": 8}}.items():
        model = build("deberta-v3-base", "meta", "eager")
        with torch.device("meta"):
            get_method(name)(**options).attach(model, Plan(1000, 50, 20))
            ids = torch.ones(64, 256, dtype=torch.int64)
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))
        counts[name] = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    whole = {name: sum(found.values()) for name, found in counts.items()}
    linear = {name: whole[name] - found["aten.bmm"] for name, found in counts.items()}
    assert linear["elora"] / linear["aflora"] == pytest.approx(2.977, rel=0.002)
    assert whole["elora"] / whole["aflora"] == pytest.approx(2.70, rel=0.002)
    assert linear["lora"] / linear["elora"] == pytest.approx(0.3385, rel=0.002)
