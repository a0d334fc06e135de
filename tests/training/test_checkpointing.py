"""Both kinds of gradient checkpointing train the same, and differ where lower layers are frozen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import forked, request
from real import real_batch, real_state
from torch import Tensor, nn

from harness.simulation.fake import fake_run
from harness.simulation.target import CPU

UPPER = {"layers": "upper-half"}


def gradients(model: str, family: str, kind: Any) -> dict[str, Tensor]:
    state = real_state(
        request(model, family=family, target=CPU, gradient_checkpointing=kind)
    )  # fmt: skip
    for module in state.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    asked = request(model, family=family, target=CPU)
    state.model(**real_batch(asked, state.model)).loss.backward()
    return {n: p.grad for n, p in state.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("model", "family"), [("tiny-llama", "causal_lm"), ("tiny-vit", "image")])
def test_gradients_are_the_same(model: str, family: str) -> None:
    """Of images, too, whose embeddings transformers leaves without a gradient."""
    plain = gradients(model, family, False)
    for kind in (True, "reentrant"):
        again = gradients(model, family, kind)
        assert again.keys() == plain.keys()
        assert all(torch.equal(again[name], plain[name]) for name in plain)


def test_a_frozen_prefix_saves_nothing_with_the_reentrant_kind() -> None:
    kept = {
        (kind, bool(options)): forked(
            fake_run, request("tiny-bert", "lora", options, gradient_checkpointing=kind)
        ).report.saved
        for kind in (True, "reentrant")
        for options in ({}, UPPER)
    }
    assert kept[True, True] < kept[True, False]
    assert kept["reentrant", True] == kept["reentrant", False]
