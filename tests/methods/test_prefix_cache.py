"""The cached prefix: the same function and gradients as with a prefix in eval mode, less work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import build
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from methods.safe.method import CacheLimits
from methods.safe.prefix_cache import PrefixCache
from methods.surgery import layers

PAD = 1
FAMILIES = ["tiny-bert", "tiny-roberta", "tiny-deberta-v2", "tiny-gpt2", "tiny-llama"]


def batch(rows: range, width: int) -> dict[str, Tensor]:
    """Return examples of different lengths, padded to `width`."""
    ids = torch.full((len(rows), width), PAD)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        length = 3 + row % 4
        ids[i, :length] = torch.arange(5 + 7 * row, 5 + 7 * row + length)
        mask[i, :length] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([r % 2 for r in rows])}


def frozen_below(name: str, depth: int) -> nn.Module:
    """Return a model whose layers train from `depth` on."""
    torch.manual_seed(0)
    model = build(name)
    model.config.pad_token_id = PAD  # decoders classify by the last token that is none
    model.requires_grad_(False)
    for layer in layers(model)[depth:]:
        layer.requires_grad_(True)
    return model.train()


def gradients(model: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Run one pass with dropout of probability 0 above the prefix."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.zero_grad()
    loss = model(**inputs).loss
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def cached(model: nn.Module, depth: int, **limits: Any) -> PrefixCache:
    cache = PrefixCache(model, CacheLimits(**limits))
    cache.grow(depth)
    cache.arm(on=True)
    return cache


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("on", ["memory", "disk"])
def test_skipped_prefix_gives_the_same_loss_and_gradients(name: str, on: str) -> None:
    plain = [gradients(frozen_below(name, 2), batch(range(4), w)) for w in (6, 9)]
    model = frozen_below(name, 2)
    cache = cached(model, 2, on=on)
    filled = gradients(model, batch(range(4), 6))
    assert cache.end_epoch()
    skipped = gradients(model, batch(range(4), 9))  # padded otherwise than it was filled
    assert cache.counts == {"skipped": 1, "filled": 1, "missed": 0}
    for ours, theirs in ((filled, plain[0]), (skipped, plain[1])):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_prefix_is_not_computed_any_more() -> None:
    model = frozen_below("tiny-bert", 2)
    cache = cached(model, 2)

    def flops() -> int:
        with FlopCounterMode(display=False) as counter:
            gradients(model, batch(range(4), 6))
        return int(counter.get_total_flops())

    filling = flops()
    cache.end_epoch()
    skipping = flops()
    # Of four forward passes two are left, and the two backward passes with weight gradients.
    assert skipping == pytest.approx(filling * 6 / 8, rel=0.05)


def test_prefix_grows_from_what_is_kept() -> None:
    model, plain = frozen_below("tiny-bert", 3), frozen_below("tiny-bert", 3)
    cache = cached(model, 1)
    gradients(model, batch(range(4), 6))
    cache.end_epoch()
    cache.grow(3)
    seen: list[int] = []
    for index, layer in enumerate(layers(model)):
        layer.intermediate.register_forward_hook(lambda *_, i=index: seen.append(i))  # type: ignore[operator, union-attr]
    gradients(model, batch(range(4), 6))
    assert seen == [1, 2, 3], "layer 0 has been there"
    cache.end_epoch()
    seen.clear()
    ours = gradients(model, batch(range(4), 6))
    assert seen == [3]
    for a, b in zip(ours, gradients(plain, batch(range(4), 6)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_counting_keeps_nothing() -> None:
    """FLOPs of a step that fills are counted on other examples, between two steps."""
    model = frozen_below("tiny-bert", 3)
    cache = cached(model, 1)
    gradients(model, batch(range(4), 6))
    cache.end_epoch()
    cache.grow(3)
    before = cache.num_bytes
    cache.arm(on=False)
    cache.count_as_skipped(on=True)
    gradients(model, batch(range(9, 10), 7))
    cache.count_as_skipped(on=False)
    assert cache.num_bytes == before
    assert cache.counts == {"skipped": 0, "filled": 1, "missed": 0}
    assert model.training


def test_dropout_below_is_off_and_above_is_on() -> None:
    model = frozen_below("tiny-bert", 2)
    cache = cached(model, 2)
    outputs: list[Tensor] = []
    layers(model)[1].register_forward_hook(lambda _m, _i, out: outputs.append(out))
    losses = []
    for _ in range(3):
        losses.append(model(**batch(range(4), 6)).loss.item())
    cache.end_epoch()
    losses.append(model(**batch(range(4), 6)).loss.item())
    assert all(torch.equal(outputs[0][:, :3], out[:, :3]) for out in outputs[1:])
    assert len(set(losses)) == 4, "dropout above draws anew"


def test_evaluation_is_not_touched() -> None:
    model = frozen_below("tiny-bert", 2)
    before = model.eval()(**batch(range(4), 6)).logits
    cache = cached(model.train(), 2)
    gradients(model, batch(range(4), 6))
    cache.end_epoch()
    layers(model)[0].output.dense.bias.data += 1.0  # type: ignore[union-attr]
    cache.arm(on=False)
    assert not torch.equal(model.eval()(**batch(range(4), 6)).logits, before)


def test_removed_it_leaves_no_trace() -> None:
    model = frozen_below("tiny-bert", 2)
    cache = cached(model, 2)
    assert all("forward" in vars(layer) for layer in layers(model))
    cache.remove()
    assert not any("forward" in vars(layer) for layer in layers(model))
    assert not model._forward_pre_hooks


def test_unknown_examples_run_the_whole_prefix() -> None:
    model = frozen_below("tiny-bert", 2)
    cache = cached(model, 2)
    gradients(model, batch(range(4), 6))
    cache.end_epoch()
    plain = gradients(frozen_below("tiny-bert", 2), batch(range(2, 6), 6))
    ours = gradients(model, batch(range(2, 6), 6))
    assert cache.counts["missed"] == 1
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_too_much_is_given_up_and_told() -> None:
    model = frozen_below("tiny-bert", 2)
    cache = cached(model, 2, gib=1e-6)
    gradients(model, batch(range(4), 6))
    assert "more than 1e-06 GiB" in cache.note
    assert cache.num_bytes == 0
    assert not cache.end_epoch()
    gradients(model, batch(range(4), 6))
    assert cache.counts["skipped"] == 0


@pytest.mark.parametrize("name", ["tiny-bart", "tiny-vit"])
def test_other_structures_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"one stack of layers; this is a (bart|vit)"):
        PrefixCache(build(name, "image" if name == "tiny-vit" else "classification"), CacheLimits())
