"""A model's config: of the catalogue, or of its source's config.json."""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from harness import hub
from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.models.check import refuse_padding
from harness.models.files import local_folder, unreachable
from harness.models.library import files_read

# What transformers takes from a config that makes its model another one than the weights say.
REFUSED = {
    "quantization_config": "weights that are quantised already are not read; "
    "take the model as it was before quantisation",
    "compression_config": "quantised weights are neither trained nor forecast here; "
    "take the model as it was before compression",
    "transformers_weights": "only model.safetensors and the shards of its index are loaded; "
    "rename the file and remove the key",
    "fusion_config": "fused modules are not known here; remove the key",
}

_NUM_LAYERS: ContextVar[int | None] = ContextVar("num_layers", default=None)

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
        _complete(config, spec)
    layers = _NUM_LAYERS.get()
    if layers is not None:
        _shorten(config, layers, spec)
    refuse_padding(f"model {spec.name}", config.pad_token_id, getattr(config, "vocab_size", None))
    return config


@contextmanager
def of_depth(num_layers: int) -> Iterator[None]:
    """Within it, configs are those of the same model with so many layers, which are all alike.

    There `build_config` raises a UserError where layers differ by the config.
    """
    token = _NUM_LAYERS.set(num_layers)
    try:
        yield
    finally:
        _NUM_LAYERS.reset(token)


def _shorten(config: Any, num_layers: int, spec: ModelSpec) -> None:
    """Leave the config fewer layers, and the first entries of what it lists by layer."""
    depth = getattr(config, "num_hidden_layers", None)
    if config.is_encoder_decoder or config.get_text_config() is not config or depth is None:
        raise UserError(f"model {spec.name}: it is not one stack of layers")
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == depth > 1:
            if any(entry != value[0] for entry in value):
                raise UserError(f"model {spec.name}: {name} differs by layer")
            setattr(config, name, value[:num_layers])
    config.num_hidden_layers = num_layers


def _complete(config: Any, spec: ModelSpec) -> None:
    """Give a config what its class lets it lack and its model asks for.

    A text part of a config looks for padding at home; an encoder-decoder's decoder starts with
    padding where nothing else is said, as T5's does; and transformers looks through the names of
    architectures.
    """
    text = config.get_text_config(decoder=True)
    ids = [_own_padding(part) for part in (config, text)]
    if ids == [None, None] and not spec.config:
        ids = [_padding_of_tokenizer(local_folder(spec) or spec.hub)]
    for part in (config, text):
        if getattr(part, "pad_token_id", None) is None:
            part.pad_token_id = next((index for index in ids if index is not None), None)
    if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = config.pad_token_id
    if config.architectures is None:
        config.architectures = []


def pad_with_anything(config: Any) -> None:
    """Give a model without values a padding id where it has none: it asks for one, and no more."""
    for part in (config, config.get_text_config(decoder=True)):
        if getattr(part, "pad_token_id", None) is None:
            part.pad_token_id = 0


def _own_padding(config: Any) -> int | None:
    """Return the id that a config pads with, or ends texts with, if it is one of its tokens."""
    pad, end = (getattr(config, name, None) for name in ("pad_token_id", "eos_token_id"))
    end = end[0] if isinstance(end, list) else end
    size = getattr(config, "vocab_size", None)
    beyond = isinstance(end, int) and isinstance(size, int) and end >= size
    index: int | None = end if pad is None and not beyond else pad
    return index


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
    for key, value in _items(config.to_dict()):
        if key in REFUSED:
            reason = (key == "quantization_config" and _as_settings(value)) or REFUSED[key]
            raise UserError(f"model {spec.name}: its config.json has {key}, but {reason}")
    return config


def _as_settings(quantised: Any) -> str | None:
    """Say how a suite has a model quantised as bitsandbytes' weights are; None: they are others."""
    if not isinstance(quantised, dict) or quantised.get("quant_method") != "bitsandbytes":
        return None
    weights = "int8"
    if quantised.get("load_in_4bit"):
        weights = str(quantised.get("bnb_4bit_quant_type", "fp4"))
        weights += ", double_quant: true" * bool(quantised.get("bnb_4bit_use_double_quant"))
    return (
        "weights that are quantised already are not read; take the model as it was before, with "
        f"train: {{weights: {weights}}}, which quantises it the same way"
    )


def _items(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, if any, at any depth: a text model's, a tower's."""
    if isinstance(part, dict):
        for key, value in part.items():
            if value is not None:
                yield key, value
            yield from _items(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _items(value)


def _padding_of_tokenizer(source: Path | str | None) -> int | None:
    """Return the id that a tokenizer pads with, or ends texts with; None where there is neither."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, TypeError, ImportError):
        return None  # whoever needs a tokenizer says that there is none
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((index for index in ids if index is not None), None)


def config_facts(spec: ModelSpec) -> str:
    """Return the config as canonical JSON, for keys of caches."""
    return json.dumps(build_config(spec).to_dict(), sort_keys=True, default=str)
