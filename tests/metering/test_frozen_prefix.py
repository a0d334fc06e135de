"""What autograd keeps when adapters are frozen: only a prefix of frozen layers keeps nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from harness.training.attach import _enable_checkpointing
from methods import Plan, get_method, surgery

LAYERS = 8


def model_of(num_layers: int = LAYERS, hidden: int = 64, dropout: float = 0.0) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=num_layers, num_attention_heads=4,
        intermediate_size=4 * hidden, vocab_size=100, attn_implementation="eager",
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def kept(model: nn.Module, run: Any) -> dict[int, int]:
    """Return bytes by storage of what autograd keeps of `run()`, parameters left out."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    found: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in own:
            found[pointer] = (tensor.untyped_storage().nbytes(), tensor)  # alive: no address twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    del out
    return {pointer: size for pointer, (size, _) in found.items()}


def held_with(live: Iterable[int], hook: bool = False) -> int:
    """Return what a LoRA step keeps when only these layers' adapters train."""
    model = model_of()
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["query", "value"]), model)
    for name, parameter in model.named_parameters():
        layer = surgery.layer_of(name, surgery.layer_names(model))
        parameter.requires_grad_("lora_" in name and layer in set(live))
    if hook:
        model.enable_input_require_grads()
    model.train()
    ids = torch.ones(8, 32, dtype=torch.int64)
    return sum(kept(model, lambda: model(ids, labels=ids[:, 0] % 2)).values())


@pytest.mark.parametrize(
    ("live", "low", "high"),
    [
        (range(4, 8), 0.48, 0.51),  # a frozen prefix of half the layers
        (range(4), 0.94, 0.96),  # a frozen suffix
        (range(0, 8, 2), 0.94, 0.96),  # odd layers frozen
        (range(1, 8, 2), 0.82, 0.85),  # even layers frozen, the lowest among them
        ([7], 0.09, 0.13),
        ([0], 0.89, 0.93),
        ([], 0.0, 0.0),
    ],
)
def test_only_a_frozen_prefix_keeps_nothing(live: Iterable[int], low: float, high: float) -> None:
    """Seen in a prototype: 0.49 prefix, 0.95 suffix, 0.84 to 0.95 alternating, of 8 layers."""
    assert low <= held_with(live) / held_with(range(LAYERS)) <= high


def test_an_input_hook_would_undo_it() -> None:
    whole, half = held_with(range(LAYERS)), held_with(range(4, 8))
    assert held_with(range(4, 8), hook=True) > 0.9 * whole, "transformers' hook, as it comes"
    assert half < 0.52 * whole


def test_checkpointing_leaves_the_embeddings_output_without_a_gradient() -> None:
    model = model_of()
    handle = get_method("lora")(targets="qv").attach(model, Plan(10, 10, 1))
    _enable_checkpointing(model, reentrant=False)
    seen: list[bool] = []
    model.bert.embeddings.register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad))
    for parameter in handle.units()[0]:
        parameter.requires_grad_(False)
    model.train()(torch.ones(2, 5, dtype=torch.int64)).logits.sum().backward()
    assert seen == [False]
    assert all(p.grad is None for p in handle.units()[0])
    assert all(p.grad is not None for p in handle.units()[1])


@pytest.mark.parametrize(
    ("method", "options", "frozen", "floats"),
    [
        ("lora", {"r": 8}, (), 768 + 8),
        ("lora", {"r": 8}, ("lora_A", "lora_B"), 0),
        ("elora", {"r": 1024}, (), 1024 + 3072),
    ],
)
def test_floats_per_token(
    method: str, options: dict[str, Any], frozen: tuple[str, ...], floats: int
) -> None:
    """Of one feed-forward module with d_in 768 and d_out 3072."""
    model = model_of(1, 768)
    get_method(method)(**options, targets=["intermediate.dense"]).attach(model, Plan(10, 10, 1))
    for name, parameter in model.named_parameters():
        if any(part in name for part in frozen):
            parameter.requires_grad_(False)
    module = model.get_submodule("bert.encoder.layer.0.intermediate.dense")
    x = torch.randn(10, 768, requires_grad=True)
    assert sum(kept(model, lambda: module(x)).values()) == 4 * 10 * floats
