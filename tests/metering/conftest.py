"""Tiny models of every family and one real optimizer step on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

Mark = Callable[[str], None]
TEXT = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512, "vocab_size": 1000}
TARGETS = {"bert": ["query", "value"], "deberta": ["query_proj", "value_proj"], "gpt2": ["c_attn"]}


@dataclass
class Step:
    """A model, a batch and an optimizer; calling it runs one optimizer step."""

    model: nn.Module
    batch: dict[str, Tensor]
    optimizer: torch.optim.Optimizer

    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def known(self) -> dict[str, list[Tensor]]:
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        adapter = [t for name, t in named if "lora_" in name]
        return {"weights.adapter": adapter, "weights.base": [t for _, t in named]}

    def __call__(self, mark: Mark = lambda name: None) -> None:
        mark("forward")
        loss = self.model(**self.batch).loss
        mark("backward")
        loss.backward()
        mark("optimizer")
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        mark("end")


def build_model(family: str, attention: str | None = None, num_layers: int = 3) -> nn.Module:
    """Build a small model of `family` with random weights and a task head."""
    t = transformers
    text = {**TEXT, "num_hidden_layers": num_layers}
    images = {**text, "image_size": 64, "patch_size": 8}
    images.pop("vocab_size")
    gpt2 = {"n_embd": 128, "n_layer": num_layers, "n_head": 4, "vocab_size": 1000}
    bart = {"d_model": 128, "encoder_layers": 2, "decoder_layers": 2, "vocab_size": 1000} | {
        f"{side}_{what}": size
        for side in ("encoder", "decoder")
        for what, size in (("attention_heads", 4), ("ffn_dim", 512))
    }
    swin = {"image_size": 64, "embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4]}
    deberta = {"relative_attention": True, "position_buckets": 32, "pos_att_type": ["p2c", "c2p"]}
    deberta |= {"share_att_key": True, "norm_rel_ebd": "layer_norm"}
    classes: dict[str, tuple[Any, Any]] = {
        "bert": (t.AutoModelForSequenceClassification, t.BertConfig(**text)),
        "deberta": (t.AutoModelForSequenceClassification, t.DebertaV2Config(**text, **deberta)),
        "llama": (t.AutoModelForCausalLM, t.LlamaConfig(**text, num_key_value_heads=2)),
        "gpt2": (t.AutoModelForCausalLM, t.GPT2Config(**gpt2)),
        "bart": (t.AutoModelForSeq2SeqLM, t.BartConfig(**bart)),
        "vit": (t.AutoModelForImageClassification, t.ViTConfig(**images)),
        "swin": (t.AutoModelForImageClassification, t.SwinConfig(**swin, window_size=4)),
    }
    auto, config = classes[family]
    return auto.from_config(config, attn_implementation=attention)


def build_batch(family: str, batch_size: int = 8, length: int = 64) -> dict[str, Tensor]:
    """Draw a batch for `family`; images ignore `length`."""
    labels = torch.randint(0, 2, (batch_size,))
    if family in ("vit", "swin"):
        return {"pixel_values": torch.randn(batch_size, 3, 64, 64), "labels": labels}
    ids = torch.randint(5, 1000, (batch_size, length))
    if family in ("llama", "gpt2", "bart"):
        labels = ids.clone()
    mask = torch.ones_like(ids)
    mask[0, -2:] = 0  # transformers drops a mask of ones where it can look at the values
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def build_step(
    family: str,
    *,
    lora: bool = False,
    dtype: torch.dtype = torch.float32,
    checkpointing: bool = False,
    attention: str | None = "eager",
    num_layers: int = 3,
) -> Step:
    """Build a step and run it once, so that the optimizer's state exists."""
    torch.manual_seed(0)
    model = build_model(family, attention if family != "deberta" else None, num_layers)
    if dtype is not torch.float32:  # Module.to refuses fake tensors
        model.to(dtype)
    if lora:
        targets = TARGETS.get(family, ["q_proj", "v_proj"])
        config = LoraConfig(r=8, target_modules=targets, lora_dropout=0.1)
        model = inject_adapter_in_model(config, model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name or "classifier" in name)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    batch = build_batch(family)
    batch = {k: v.to(dtype) if v.is_floating_point() else v for k, v in batch.items()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    step = Step(model.train(), batch, torch.optim.AdamW(trainable, lr=1e-3))
    step()
    return step


@pytest.fixture
def make_step() -> Callable[..., Step]:
    return build_step


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
