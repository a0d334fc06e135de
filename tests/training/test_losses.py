"""The loss in pieces is the model's own, for every way in which a model makes logits of tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import forked, request
from peft_types import SMALL
from real import real_run
from tiny_models import tiny
from torch import Tensor, nn

from harness.simulation.fake import fake_run
from harness.simulation.target import CPU
from harness.suite.settings import TrainSettings
from harness.tasks.families import get_family
from harness.tasks.families.language import CausalLM
from harness.training.losses import use_loss
from methods import get_method
from methods.base import Plan

# Plain; a tied head; softcapping; scales; a head of three layers; other names of the transformer.
MODELS = ["llama", "gpt2", "gemma2", "cohere", "granite", "bert", "opt", "mpt"]
LOSSES: list[dict[str, Any]] = [
    {"loss": "chunked"},
    {"loss": "chunked", "loss_chunks": 3},
    {"loss": "chunked-output"},
]


def batch() -> dict[str, Tensor]:
    ids = torch.arange(34).view(2, 17) + 7
    labels, mask = ids.clone(), torch.ones_like(ids)
    labels[0, :5], labels[1, -3:], mask[1, -3:] = -100, -100, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def still(kind: str) -> nn.Module:
    """Return a tiny model without dropout."""
    torch.manual_seed(0)
    model: nn.Module = tiny(kind, "AutoModelForCausalLM")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def loss_and_gradients(model: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    torch.manual_seed(1)  # OPT drops by a function
    loss: Tensor = model(**batch()).loss
    loss.backward()  # type: ignore[no-untyped-call]
    return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(model: nn.Module, settings: TrainSettings) -> None:
    loss, gradients = loss_and_gradients(model)
    use_loss(model, settings)
    again, others = loss_and_gradients(model)
    assert again.item() == pytest.approx(loss.item(), rel=1e-6)
    assert others.keys() == gradients.keys()
    for name, gradient in gradients.items():
        close = 1e-6 * max(1.0, float(gradient.abs().max()))
        assert torch.allclose(others[name], gradient, rtol=0, atol=close), name


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("given", LOSSES)
def test_pieces_are_the_loss(kind: str, given: dict[str, Any]) -> None:
    assert_same(still(kind), TrainSettings(**given))


@pytest.mark.parametrize("targets", [["lm_head"], ["q_proj", "lm_head"]])
def test_an_adapter_on_the_head_is_in_the_loss(targets: list[str]) -> None:
    model = still("llama")
    peft = get_method("peft")(type="LORA", r=4, target_modules=targets)
    handle = peft.attach(model, Plan(num_steps=10, steps_per_epoch=5, num_epochs=2))
    for name, parameter in handle.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    assert_same(handle.model, TrainSettings(loss="chunked"))


@pytest.mark.parametrize("loss", ["chunked", "chunked-output"])
def test_smoothing_is_of_the_pieces(loss: Any) -> None:
    model, family = still("llama"), get_family("causal_lm")
    expected = family.smoothed_loss(model(**batch()), batch(), 0.1)
    use_loss(model, TrainSettings(loss=loss, label_smoothing=0.1))
    assert model(**batch()).loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_logits_made_at_once_live_as_outputs_do() -> None:
    """As litgpt keeps a pass's logits to the next one; of pieces nothing is left to keep."""
    peaks = {}
    for outputs in ("dropped", "kept"):
        asked = request(
            "tiny-llama", family="causal_lm", target=CPU, loss="chunked-output", outputs=outputs
        )
        peaks[outputs] = real_run(asked).peak
        assert abs(forked(fake_run, asked).report.peak - peaks[outputs]) <= 64
    assert peaks["kept"] - peaks["dropped"] > 4 * 32 * 2000 * 4  # fp32 logits of 4 x 32 tokens


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_likelihoods_are_those_of_all_logits(kind: str) -> None:
    model = still(kind).eval()
    with torch.no_grad():
        expected = CausalLM().predict(model, batch())
        use_loss(model, TrainSettings(loss="chunked"))
        assert torch.allclose(CausalLM().predict(model, batch()), expected, rtol=1e-6)


def test_in_evaluation_the_loss_is_the_same() -> None:
    """Analyses and scores of weights ask for it there."""
    model = still("llama").eval()
    expected = model(**batch()).loss
    use_loss(model, TrainSettings(loss="chunked"))
    assert model(**batch()).loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_generation_has_logits() -> None:
    model = still("llama").eval()
    ids = {name: value for name, value in batch().items() if name != "labels"}
    expected = model(**ids).logits
    use_loss(model, TrainSettings(loss="chunked"))
    assert torch.equal(model(**ids).logits, expected)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("bart", "loss of BartForCausalLM is its own"), ("bamba", "z_loss_coefficient")],
)
def test_another_loss_is_refused(kind: str, reason: str) -> None:
    model = still(kind)
    model.config.z_loss_coefficient = 0.1  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=f"train.loss = chunked: .*{reason}"):
        use_loss(model, TrainSettings(loss="chunked"))


def test_a_loss_of_all_logits_is_refused() -> None:
    """CPT makes its own of the model's logits, so that pieces would change nothing."""
    options = SMALL["CPT"]
    handle = get_method("peft")(type="CPT", **options).attach(
        still("gpt2"), Plan(num_steps=10, steps_per_epoch=5, num_epochs=2)
    )
    with pytest.raises(ValueError, match=r"train.loss = chunked: CPT has a loss of its own"):
        use_loss(handle.model, TrainSettings(loss="chunked"))
