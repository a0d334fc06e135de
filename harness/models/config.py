"""A model's config: of the catalogue, or of its source's config.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import hub
from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.models.check import refuse_padding
from harness.models.files import local_folder, unreachable
from harness.models.library import files_read

# What transformers takes from a config that makes its model another one than the weights say.
REFUSED = {
    "quantization_config": "quantised weights are neither trained nor forecast here; "
    "take the model as it was before quantisation",
    "compression_config": "quantised weights are neither trained nor forecast here; "
    "take the model as it was before compression",
    "transformers_weights": "only model.safetensors and the shards of its index are loaded; "
    "rename the file and remove the key",
    "fusion_config": "fused modules are not known here; remove the key",
}

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.models.spec import ModelSpec


def build_config(spec: ModelSpec) -> Any:
    """Return the transformers config of the model, without its weights.

    Decoder-only models find the last real token by the padding id. Those that have none pad with
    their end-of-text token, as is usual; where the config names neither, with their tokenizer's.

    Raises:
        UserError: the source cannot be reached, its config.json is not of a known model type, asks
            for other weights than those beside it, or its padding id is none.
    """
    with files_read(f"model {spec.name}"):
        config = _catalogued(spec.config) if spec.config else _read(spec)
        if getattr(config, "pad_token_id", None) is None:
            end = getattr(config, "eos_token_id", None)
            config.pad_token_id = end[0] if isinstance(end, list) else end
        if config.pad_token_id is None and not spec.config:
            config.pad_token_id = _padding_of_tokenizer(local_folder(spec) or spec.hub)
    refuse_padding(f"model {spec.name}", config.pad_token_id, getattr(config, "vocab_size", None))
    return config


def _catalogued(name: str) -> Any:
    from transformers import AutoConfig

    entry = CATALOGUE[name]
    return AutoConfig.for_model(entry.model_type, **entry.config)


def _read(spec: ModelSpec) -> Any:
    from transformers import AutoConfig

    if spec.hub:
        hub.trouble()  # where it does not answer, only the cache is looked at
    try:
        config = AutoConfig.from_pretrained(
            local_folder(spec) or spec.hub, revision=spec.revision or "main",
            trust_remote_code=False,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        if spec.hub:
            raise unreachable(spec.hub, error) from None
        raise UserError(f"model {spec.name}: {str(error).splitlines()[0]}") from None
    for key in _keys(config.to_dict()):
        if key in REFUSED:
            raise UserError(f"model {spec.name}: its config.json has {key}, but {REFUSED[key]}")
    return config


def _keys(part: Any) -> Iterator[str]:
    """Yield every key that has a value, at any depth: a text model's, a tower's, a draft's."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value is not None:
                yield key
            yield from _keys(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _keys(value)


def _padding_of_tokenizer(source: Path | str | None) -> int | None:
    """Return the id that a tokenizer pads with, or ends texts with; None where there is neither."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError):
        return None  # whoever needs a tokenizer says that there is none
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((index for index in ids if index is not None), None)


def config_facts(spec: ModelSpec) -> str:
    """Return the config as canonical JSON, for keys of caches."""
    return json.dumps(build_config(spec).to_dict(), sort_keys=True, default=str)
