"""What a method's model generates is what its forward pass says, with and without a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from contract import PLAN
from tiny import build
from torch import Tensor, nn

from harness.tasks.families.decoding import refuse_wrapped
from harness.tasks.families.language import CausalLM, Seq2Seq
from harness.tasks.generation import Generation
from methods import get_method

QV: dict[str, Any] = {"lora": {"r": 4, "targets": "qv"}}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("full", {}, "tiny-llama"),
    ("lora", {"r": 4}, "tiny-gpt2"),
    ("elora", {"r": 8}, "tiny-llama"),
    ("bitfit", {}, "tiny-gpt2"),
    ("aflora", {"r": 4}, "tiny-llama"),
    ("adalora", {}, "tiny-gpt2"),
    ("sora", {}, "tiny-llama"),
    ("loraprune", {"r": 4, "targets": "all-linear"}, "tiny-llama"),
    ("houlsby", {}, "tiny-gpt2"),
    ("pfeiffer", {}, "tiny-llama"),
    ("sparseadapter", {"over": "houlsby"}, "tiny-gpt2"),
    ("meft", {}, "tiny-gpt2"),
    ("meft", {"reversible": "all"}, "tiny-llama"),
    ("adapterdrop", {"over": QV}, "tiny-llama"),
    ("adapterdrop", {"over": QV, "mode": "specialised", "layers_dropped": 2}, "tiny-gpt2"),
    ("safe", {"over": QV, "tau": 0.5}, "tiny-llama"),
    ("safe", {"over": QV, "tau": 0.5, "cache_prefix": True}, "tiny-gpt2"),
    ("peft", {"type": "ia3"}, "tiny-llama"),
    ("lora", {"r": 4}, "tiny-bart"),
    ("bitfit", {}, "tiny-bart"),
    ("houlsby", {}, "tiny-bart"),
]
STEPS = 6


@pytest.mark.parametrize(("name", "options", "model"), CASES)
def test_answers_are_those_of_forward_passes_alone(
    name: str, options: dict[str, Any], model: str
) -> None:
    """Greedy tokens with a cache against the whole text run again for each of them."""
    family = Seq2Seq() if model == "tiny-bart" else CausalLM()
    base = build(model, family.name)
    handle = get_method(name)(**options).attach(base, PLAN)
    torch.manual_seed(3)
    for parameter in handle.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # the adapters have something to say
    handle.model.eval()
    handle.evaluating(on=True)
    inputs = _prompts()
    found = family.generate(handle.model, inputs, Generation(max_new_tokens=STEPS))
    wanted = _by_hand(handle.model, inputs, model == "tiny-bart")
    handle.evaluating(on=False)
    for ours, theirs in zip(found.tolist(), wanted.tolist(), strict=True):
        # BART's config ends every answer by force.
        ends = min(len(ours), STEPS) - (model == "tiny-bart")
        assert ours[:ends] == theirs[:ends]
    with torch.no_grad():
        said, plain = (m(**inputs).logits for m in (handle.model, build(model, family.name).eval()))
    assert name == "full" or not torch.allclose(plain, said, atol=1e-3), "the adapters act"


@pytest.mark.parametrize("kind", ["prompt_tuning", "prefix_tuning"])
def test_a_wrapped_model_is_refused(kind: str) -> None:
    method = get_method("peft")(type=kind, num_virtual_tokens=4)
    model = method.attach(build("tiny-llama", "causal_lm"), PLAN).model
    with pytest.raises(ValueError, match="take another method"):
        refuse_wrapped(model)


def _prompts() -> dict[str, Tensor]:
    ids = torch.arange(5, 21).view(2, 8)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def _by_hand(model: nn.Module, inputs: Mapping[str, Tensor], decodes: bool) -> Tensor:
    """Return the likeliest next token, six times, each from a forward pass over everything."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    new = torch.full((len(ids), 1), 2) if decodes else ids[:, :0]
    for _ in range(STEPS):
        if decodes:
            logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=new).logits
        else:
            whole = torch.cat([mask, torch.ones_like(new)], 1)
            places = (whole.cumsum(1) - 1).clamp(min=0)
            logits = model(
                input_ids=torch.cat([ids, new], 1), attention_mask=whole, position_ids=places
            ).logits
        new = torch.cat([new, logits[:, -1].argmax(-1, keepdim=True)], 1)
    return new[:, 1:] if decodes else new
