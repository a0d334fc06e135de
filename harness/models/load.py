"""Models from a hub, a folder, an installed package, or a config of the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.models.files import check, local_folder, model_folder, provenance, unreachable
from harness.models.spec import ModelSpec
from harness.suite.shape import Family

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "ModelSpec",
    "build_config",
    "build_model",
    "check",
    "config_facts",
    "load_model",
    "load_tokenizer",
    "meta_model",
    "provenance",
]

_AUTO_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "causal_lm": "AutoModelForCausalLM",
    "question_answering": "AutoModelForQuestionAnswering",
    "image": "AutoModelForImageClassification",
    "seq2seq": "AutoModelForSeq2SeqLM",
}


def build_config(spec: ModelSpec) -> Any:
    """Return the transformers config of the model, without its weights.

    Decoder-only models find the last real token by the padding id. Those that have none pad with
    their end-of-text token, as is usual.

    Raises:
        UserError: the source cannot be reached, or its config.json is not of a known model type.
    """
    from transformers import AutoConfig

    if spec.config:
        entry = CATALOGUE[spec.config]
        config = AutoConfig.for_model(entry.model_type, **entry.config)
    else:
        folder = local_folder(spec)
        try:
            config = AutoConfig.from_pretrained(
                folder or spec.hub, revision=spec.revision or "main", trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            if spec.hub:
                raise unreachable(spec.hub, error) from None
            raise UserError(f"model {spec.name}: {str(error).splitlines()[0]}") from None
    if getattr(config, "pad_token_id", None) is None:
        end = getattr(config, "eos_token_id", None)
        config.pad_token_id = end[0] if isinstance(end, list) else end
    return config


def load_model(
    spec: ModelSpec,
    *,
    task_head: Family,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    seed: int,
    use_cache: bool = False,
) -> nn.Module:
    """Load the model with a head for the task, in training mode.

    Weights that the source lacks (the head; all of a config-only model) are drawn after
    `torch.manual_seed(seed)`, so they are the same for every method.

    Raises:
        UserError: the source cannot be reached, its weights are not the pinned ones or not for
            this architecture, or the model has no such head or attention implementation.
    """
    import torch

    torch.manual_seed(seed)
    if spec.config:
        return build_model(spec, task_head, num_labels, attention, dtype, use_cache)
    folder = model_folder(spec)
    config = _with_head(build_config(spec), task_head, num_labels, use_cache)
    with _quiet(), _explained(spec, task_head, attention):
        model, facts = _auto_class(task_head).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    _refuse_missing(spec, model, facts["missing_keys"])
    trained: nn.Module = model.train()
    return trained


def meta_model(
    spec: ModelSpec,
    *,
    task_head: Family,
    num_labels: int,
    attention: str = "eager",
    dtype: torch.dtype | None = None,
    use_cache: bool = False,
) -> nn.Module:
    """Build the model without any weights, on the meta device: shapes and names only.

    Reads no more than config.json, so it works for models of any size.

    Raises:
        UserError: as `load_model`.
    """
    import torch

    with torch.device("meta"):
        return build_model(
            spec, task_head, num_labels, attention, dtype or torch.float32, use_cache
        )


def build_model(
    spec: ModelSpec,
    task_head: Family,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    use_cache: bool,
) -> nn.Module:
    """Build the model from its config, on whatever device and mode torch is set to.

    Raises:
        UserError: as `load_model`.
    """
    config = _with_head(build_config(spec), task_head, num_labels, use_cache)
    with _explained(spec, task_head, attention):
        model: nn.Module = _auto_class(task_head).from_config(
            config, attn_implementation=attention, dtype=dtype, trust_remote_code=False
        )
    return model.train()


def _auto_class(task_head: Family) -> Any:
    import transformers

    return getattr(transformers, _AUTO_CLASSES[task_head])


def _with_head(config: Any, task_head: Family, num_labels: int, use_cache: bool) -> Any:
    if task_head in {"classification", "regression", "image"}:
        config.num_labels = num_labels
        kind = "regression" if task_head == "regression" else "single_label_classification"
        config.problem_type = kind
    # Keys and values of past tokens are of use in generation only, and cost memory in training.
    config.use_cache = use_cache
    return config


def _refuse_missing(spec: ModelSpec, model: nn.Module, missing: Iterable[str]) -> None:
    """Only a head, or a pooler in front of one, may be absent from the weights."""
    from methods import surgery

    new = surgery.head_parameters(model) | surgery.pooler_parameters(model)
    lost = sorted(set(missing) - set(new))
    if lost:
        raise UserError(
            f"model {spec.name}: its weights lack {len(lost)} tensors of a "
            f"{type(model).__name__}, such as {lost[0]}: they belong to another architecture"
        )


@contextmanager
def _explained(spec: ModelSpec, task_head: Family, attention: str) -> Iterator[None]:
    """Turn what transformers refuses into one line that says which setting to change."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "Unrecognized configuration class" in reason:
            raise UserError(f"model {spec.name} has no {task_head} head in transformers") from None
        if "attention" in reason or "Attention" in reason:
            raise UserError(
                f"train.attention = {attention}: model {spec.name} cannot use it: "
                f"{reason.split('. ')[0]}; train.attention=eager always works"
            ) from None
        raise UserError(f"model {spec.name}: {reason}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from warning that the head is new: it is meant to be."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


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
    if tokenizer.pad_token_id != config.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
    return tokenizer


def config_facts(spec: ModelSpec) -> str:
    """Return the config as canonical JSON, for keys of caches."""
    return json.dumps(build_config(spec).to_dict(), sort_keys=True, default=str)
