"""The package flash-attn over a quantised base whose norms are in fp32: what it is given."""

from __future__ import annotations

from typing import Any

import asked
import pytest
import torch

from harness.simulation import flash_package
from harness.simulation.fake import fake_run
from harness.simulation.target import Target

SM80 = Target(kind="cuda", capability=(8, 0))


@pytest.mark.parametrize("autocast", [False, True])
def test_queries_in_fp32_are_cast_to_the_type_of_products(
    monkeypatch: pytest.MonkeyPatch, autocast: bool
) -> None:
    """As transformers casts them: to autocast's type, or to that of a quantised model's config."""
    seen: list[torch.dtype] = []
    kernel = flash_package._attend

    def spied(q: torch.Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(q.dtype)
        return kernel(q, *rest, **named)

    monkeypatch.setattr(flash_package, "_attend", spied)
    fake_run(asked.request(
        "tiny-llama", options={"targets": "all-linear"}, family="causal_lm", mask=False,
        target=SM80, weights="nf4", compute="bf16", autocast=autocast,
        attention="flash_attention_2",
    ))  # fmt: skip
    assert set(seen) == {torch.bfloat16}
