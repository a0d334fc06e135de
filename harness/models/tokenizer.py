"""A model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.check import refuse_ids
from harness.models.config import build_config
from harness.models.files import model_folder
from harness.models.library import files_read

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec


def refuse_made_up(spec: ModelSpec, task: str) -> None:
    """Refuse to generate texts with a model that has no tokenizer of its own.

    Raises:
        UserError: its tokenizer would be made from the words of the data.
    """
    if spec.config:
        raise UserError(
            f"model.config = {spec.config}: {task} generates text, and a model that is only a "
            "config has no tokenizer of its own; give model.path, model.package or model.hub"
        )


def refuse_other_end(spec: ModelSpec, tokenizer: Any, model: Any) -> None:
    """Refuse a tokenizer whose end-of-text token does not end what the model generates.

    Raises:
        UserError: they name different ids, so that answers would go on behind their end.
    """
    configs = (getattr(model, "generation_config", None), model.config)
    ends = next((e for c in configs if (e := getattr(c, "eos_token_id", None)) is not None), None)
    end = tokenizer.eos_token_id
    if end not in (ends if isinstance(ends, list) else [ends]):
        raise UserError(
            f"model {spec.name}: its tokenizer ends texts with id {end}, and its config generates "
            f"up to {ends}; set eos_token_id in config.json and generation_config.json"
        )


def load_tokenizer(spec: ModelSpec, texts: Iterable[str]) -> Any:
    """Load the model's tokenizer; a config-only model gets a word-level one made from `texts`.

    It pads with the id that the model takes for padding.

    Raises:
        UserError: the source has no tokenizer.
    """
    config = build_config(spec)
    if spec.config:
        from harness.models.word_tokenizer import word_tokenizer

        return word_tokenizer(config, texts)
    with files_read(f"model {spec.name}"):
        return _read(spec, config)


def _read(spec: ModelSpec, config: Any) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            model_folder(spec), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"model {spec.name}: no tokenizer files: {str(error).splitlines()[0]}"
        ) from None
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # transformers makes one of special tokens only where a folder has no tokenizer files.
        raise UserError(f"model {spec.name}: no tokenizer files beside its weights")
    refuse_ids(spec.name, max(tokenizer.get_vocab().values()), getattr(config, "vocab_size", None))
    if config.pad_token_id is None:
        raise UserError(
            f"model {spec.name}: neither its config nor its tokenizer names a padding or an "
            "end-of-text token to pad batches with; set pad_token_id in config.json"
        )
    if tokenizer.pad_token_id != config.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
    return tokenizer
