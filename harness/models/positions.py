"""How long a model's inputs may be: as long as its table of learned positions has rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from harness.tasks.generation import Generation

# How transformers names a table of absolute positions: BERT and its kin, CLIP, BART and OPT, GPT-2,
# GPT. Relative positions are called otherwise.
_NAMES = {"position_embeddings", "position_embedding", "embed_positions", "wpe", "positions_embed"}


def refuse_beyond(
    model: nn.Module, length: int, name: str, generation: Generation | None = None
) -> None:
    """Refuse inputs that the model has no positions for; the same for a run and for a forecast.

    Args:
        model: with its method attached.
        length: tokens of the longest input.
        name: of the model.
        generation: inputs are prompts, and the answers to them take places, too.

    Raises:
        UserError: naming the limit.
    """
    positions = positions_of(model)
    if positions is not None and length > positions:
        if generation is not None:
            raise UserError(
                f"{name} has {positions} positions, and prompts with answers of up to "
                f"{generation.max_new_tokens} tokens need {length}; a smaller train.max_length "
                "cuts prompts, a smaller max_new_tokens of the task answers"
            )
        raise UserError(
            f"{name} has {positions} positions, and inputs have {length} tokens; "
            f"train.max_length={positions} cuts them"
        )


def positions_of(model: nn.Module) -> int | None:
    """Return the most tokens that an input may have; None where the model has no such table.

    Rotary and relative positions have no limit, whatever `max_position_embeddings` says: beyond it
    the model runs, on distances that it was not trained on. The tokens that peft's prompts put in
    front of an input take places, too. Text takes none of a tower of images or of sound.
    """
    from torch import nn

    towers = tuple(f"{name}." for name in _towers(model))
    limits = [
        _rows(module)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in _NAMES and isinstance(module, nn.Embedding)
        and not name.startswith(towers)
    ]  # fmt: skip
    return min(limits) - _prompt(model) if limits else None


def _towers(model: Any) -> list[str]:
    """Return the modules whose config is a part of the model's, and not its text's."""
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "get_text_config"):
        return []
    text = config.get_text_config()
    parts = {getattr(getattr(config, name, None), "model_type", "") for name in config.sub_configs}
    others = parts - {"", text.model_type, config.model_type}
    return [
        name for name, module in model.named_modules()
        if getattr(getattr(module, "config", None), "model_type", "") in others
    ]  # fmt: skip


def _rows(table: Any) -> int:
    """Return the rows that tokens can have."""
    if table.padding_idx is not None:  # RoBERTa counts from behind the padding id
        return int(table.num_embeddings - table.padding_idx - 1)
    return int(table.num_embeddings - getattr(table, "offset", 0))  # BART, OPT


def _prompt(model: Any) -> int:
    """Return how many tokens peft puts in front of every input."""
    configs = getattr(model, "peft_config", {})
    configs = configs.values() if isinstance(configs, dict) else ()
    return max((getattr(config, "num_virtual_tokens", None) or 0 for config in configs), default=0)
