"""Answers that a model generates, by transformers' own search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel

from harness.tasks.generation import Generation

# Ids without which a model cannot begin or end, in its config or in its generation's.
_SPECIAL = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "forced_bos_token_id", "forced_eos_token_id",
)  # fmt: skip


@torch.no_grad()
def new_tokens(model: nn.Module, inputs: Mapping[str, Tensor], generation: Generation) -> Tensor:
    """Return the new tokens (B, N) of each prompt's best answer, N of the longest.

    Greedy or by beams, without sampling, so the same every time. Keys and values of earlier tokens
    are kept, also where training does without. Nothing but the model's special tokens is taken
    from its own generation config, whose lengths and penalties would otherwise act unseen.

    Args:
        model: a transformers model, edited or wrapped by a method, in eval mode.
        inputs: ids and mask (B, S), of a decoder padded on the left.
        generation: how.
    """
    generator: Any = model
    config = generation_config(model, generation)
    with _only(model, config):
        out: Tensor = generator.generate(**inputs, generation_config=config)
    encoder_decoder: bool = generator.config.is_encoder_decoder
    return out[:, 1:] if encoder_decoder else out[:, inputs["input_ids"].shape[1] :]


def refuse_wrapped(model: nn.Module) -> None:
    """Refuse a model that a method has wrapped: the search would call what is inside.

    Raises:
        ValueError: peft's prompt types do so, whose prompts stand in the wrapper's own forward.
    """
    if not isinstance(model, PreTrainedModel):
        raise ValueError(
            f"answers cannot be generated through {type(model).__name__}: transformers' search "
            "calls the model inside, without what the wrapper adds; take another method for tasks "
            "that generate text"
        )


def generation_config(model: nn.Module, generation: Generation) -> GenerationConfig:
    """Return transformers' own form of the settings, with the model's special tokens."""
    transformer = _transformer(model)
    return GenerationConfig(
        do_sample=False,
        use_cache=True,
        num_beams=generation.num_beams,
        length_penalty=generation.length_penalty if generation.num_beams > 1 else 1.0,
        no_repeat_ngram_size=generation.no_repeat_ngram_size,
        max_new_tokens=generation.max_new_tokens,
        **{name: _special(transformer, name) for name in _SPECIAL},
    )


def _special(transformer: Any, name: str) -> Any:
    """Return a special token's id: as its generation has it, or else as its config."""
    own = getattr(transformer.generation_config, name, None)
    return own if own is not None else getattr(transformer.config, name, None)


def _transformer(model: nn.Module) -> Any:
    return next(m for m in model.modules() if isinstance(m, PreTrainedModel))


@contextmanager
def _only(model: nn.Module, config: GenerationConfig) -> Iterator[None]:
    """Let nothing but `config` act: the model's own fills in what another one leaves open."""
    transformer = _transformer(model)
    own, transformer.generation_config = transformer.generation_config, config
    try:
        yield
    finally:
        transformer.generation_config = own
