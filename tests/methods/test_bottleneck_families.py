"""Houlsby's adapters in families that read an attribute of the module an adapter wraps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tiny import PLAN
from tiny_models import tiny_config

from methods import get_method

# Their feed-forward blocks ask for the type of `wo.weight`, or of `fc2.weight`.
FAMILIES = {
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
    "longt5": "LongT5ForConditionalGeneration",
}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_an_adapter_hides_nothing_that_its_model_reads(model_type: str) -> None:
    torch.manual_seed(0)
    kind: Any = getattr(transformers, FAMILIES[model_type])
    config = tiny_config(model_type)
    config.decoder_start_token_id = 0
    model = kind(config).train()
    handle = get_method("houlsby")(init="bert").attach(model, PLAN)
    ids = torch.randint(5, 50, (2, 16))
    model(input_ids=ids, labels=ids[:, :6].clone()).loss.backward()
    assert all(p.grad is not None for p in handle.parameters())
    found = {name for name, module in model.named_modules() if hasattr(module, "adapter")}
    assert any(name.endswith(".wo") for name in found)
    assert not any("base_layer" in name for name in handle.adapter), "weights stay the model's"
