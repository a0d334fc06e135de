"""What the installed peft offers: its types, the options of each, and which cannot run here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from methods.architectures import HEADS
from methods.wording import mistake, nearest

if TYPE_CHECKING:
    from peft import PeftConfig

# Types that a training run on one task cannot feed.
REFUSED = {
    "XLORA": "it mixes trained LoRA checkpoints, which a suite cannot give",
    "POLY": "it wants a task id with every batch, and a cell trains one task",
    "MULTITASK_PROMPT_TUNING": "it wants a task id with every batch, and a cell trains one task",
}
# LoRA variants that need more than an attached adapter, by option and by kind of initialisation.
_DATA = "it starts from a pass over training data, which attach does not have"
_LOSS = "it is only itself with a loss that the training script must add"
NEEDS_MORE = {
    "alora_invocation_tokens": "its adapters start at a token that peft's own forward looks up",
    "arrow_config": "it routes between adapters that were trained before",
    "corda_config": _DATA,
    "eva_config": _DATA,
    "kasa_config": _LOSS,
    "lora_ga_config": _DATA,
    "monteclora_config": _LOSS,
}
INITS_NEED_MORE = {"corda", "eva", "lora_ga"}
PISSA_STEPS = re.compile(r"pissa_niter_\d+")
# Types whose adapters peft cannot fold into the base weights.
UNMERGED = frozenset({"ADAPTION_PROMPT", "BEFT", "LILY", "SHADOW"})
# Types that multiply, measure or train the weight of a layer, which packed numbers are not; over
# bitsandbytes' layers they end in torch's own error.
WHOLE = frozenset(
    {"ADAMSS", "DEFT", "DELORA", "FROD", "HIRA", "HRA", "LOHA", "LOKR", "PEANUT", "SHIRA",
     "SUPERTUNING", "TINYLORA"}
)  # fmt: skip
# Types whose tuner adds its own loss in peft's forward.
NEEDS_FORWARD = frozenset({"SHADOW"})
# What peft's `get_peft_model` takes beside a config; it stands among the options of every type.
CAST = "autocast_adapter_dtype"
# Options that the run itself decides.
DECIDED = frozenset(
    {"peft_type", "task_type", "inference_mode", "auto_mapping", "peft_version"}
    | {"base_model_name_or_path", "revision"}
)


def config_class(kind: str) -> type[PeftConfig]:
    """Return peft's config class for a type in upper case.

    Raises:
        ValueError: the installed peft has no such type, or it cannot run here.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    classes = {key.value: value for key, value in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if kind in REFUSED:
        raise ValueError(f"peft type {kind} is not supported: {REFUSED[kind]}")
    if kind not in classes:
        usable = set(classes) - set(REFUSED)
        raise ValueError(f"the installed peft has no type {kind!r}; {nearest(kind, usable)}")
    cls: type[PeftConfig] = classes[kind]
    return cls


@cache
def option_types(kind: str) -> dict[str, TypeAdapter[Any]]:
    """Return the options of a peft type with a validator of each."""
    cls = config_class(kind)
    hints = get_type_hints(cls)
    names = [field.name for field in fields(cls) if field.init]
    return {name: TypeAdapter(hints[name]) for name in names if name not in DECIDED}


def options_schema() -> dict[str, Any]:
    """Return a JSON Schema of what a suite may say: the types in either case, options by type."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = sorted({key.value for key in PEFT_TYPE_TO_CONFIG_MAPPING} - set(REFUSED))
    cases = []
    for kind in kinds:
        names = sorted({"type", *option_types(kind), CAST} - set(NEEDS_MORE))
        is_kind = {"properties": {"type": {"enum": [kind, kind.lower()]}}}
        cases.append({"if": is_kind, "then": {"propertyNames": {"enum": names}}})
    known = [spelled for kind in kinds for spelled in (kind, kind.lower())]
    return {"properties": {"type": {"enum": known}}, "allOf": cases}


def check_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names and the types of a config's options and return them as peft wants them.

    Raises:
        ValueError: an option that the type does not have, or a value of another type.
    """
    validators = option_types(kind)
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name in DECIDED:
            raise ValueError(f"peft option {name!r} is not yours to set: the run decides it")
        if name not in validators:
            raise ValueError(
                f"peft type {kind} has no option {name!r}; {nearest(name, validators)}"
            )
        if name == "init_lora_weights" and PISSA_STEPS.fullmatch(str(value)):
            checked[name] = value  # documented, but not in the field's type
            continue
        try:
            checked[name] = validators[name].validate_python(value)
        except ValidationError as error:
            raise ValueError(mistake(error.errors()[0], f"peft option {name}")) from None
        if name in NEEDS_MORE:
            raise ValueError(f"peft option {name} is not supported: {NEEDS_MORE[name]}")
    if checked.get("init_lora_weights") in INITS_NEED_MORE:
        raise ValueError(f"init_lora_weights {checked['init_lora_weights']!r}: {_DATA}")
    copied = set(options.get("modules_to_save") or ()) & set(HEADS)
    if copied:
        raise ValueError(f"modules_to_save {sorted(copied)}: the head trains anyway, uncopied")
    return checked


def build_config(kind: str, options: Mapping[str, Any], task: str, num_steps: int) -> PeftConfig:
    """Build peft's config object.

    Args:
        kind: peft type in upper case.
        options: as in a suite.
        task: peft's task type of the model; only types that need peft's forward are told.
        num_steps: length of the run, for types that schedule.

    Raises:
        ValueError: peft's own checks refuse the options.
    """
    extra: dict[str, Any] = {}
    if is_prompt(kind) or kind in NEEDS_FORWARD:
        extra["task_type"] = task
    if "total_step" in option_types(kind):
        extra["total_step"] = num_steps
    try:
        return config_class(kind)(**extra | check_options(kind, options))
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise ValueError(f"peft type {kind}: {error}") from None


def is_prompt(kind: str) -> bool:
    """Tell whether the type learns a prompt, which peft does in a wrapper around the model."""
    from peft import PromptLearningConfig

    return issubclass(config_class(kind), PromptLearningConfig)
