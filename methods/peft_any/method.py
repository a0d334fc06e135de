"""Any type of the installed peft, such as `{peft: {type: LORA, r: 32, lora_alpha: 64}}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from methods import quantized, surgery
from methods.adalora.method import OBSTACLES
from methods.architectures import TARGET_SETS
from methods.base import Method
from methods.common.tuner import TunerHandle, attach_tuner
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema
    from torch import nn

    from methods.base import Handle, Need, Plan

# By the end of a transformers class name.
TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "ForCausalLM": "CAUSAL_LM",
    "LMHeadModel": "CAUSAL_LM",
}


class Peft(Method):
    """Train any adapter that the installed peft library offers.

    Options are those of peft's own config class for `type`, in any case (`lora`, `LORA`). Options
    left out have peft's defaults, its default target modules included. Beside peft's values,
    `target_modules` takes the named sets of the other methods; `all-linear` is theirs, too: every
    linear layer of the transformer layers, where peft's own would add a pooler.

    Not every type starts at the base model (FourierFT, C3A, VB-LoRA and prompts do not).
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: ClassVar[str] = "peft"

    type: str
    autocast_adapter_dtype: bool = Field(
        True,
        description="peft makes adapters of a 16-bit model float32, all that it casts",
        exclude_if=lambda value: value is True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the installed peft's types and their options."""
        from methods.peft_any.types import options_schema

        schema, offered = handler.resolve_ref_schema(handler(core_schema)), options_schema()
        properties = {**schema["properties"], **offered["properties"]}
        return {**schema, **offered, "properties": properties}

    @field_validator("type")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()

    @model_validator(mode="after")
    def _check(self) -> Peft:
        from methods.peft_any.types import build_config

        # The longest plan there is: only what no run can satisfy is refused here.
        build_config(self.type, self.options, task="CAUSAL_LM", num_steps=10**9)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Return the options for peft's config class, as given."""
        return dict(self.model_extra or {})

    @property
    def label(self) -> str:
        """Return `peft-lora-r32`, with every other option that was given."""
        given = {key: value for key, value in self.options.items() if not isinstance(value, dict)}
        rank = given.pop("r", None)
        parts: list[tuple[str, object, object]] = [("", self.type.lower(), None)]
        parts += [("r", rank, None)] if rank is not None else []
        parts += [(f"{key}=", value, None) for key, value in sorted(given.items())]
        parts += [("", "uncast", None)] if not self.autocast_adapter_dtype else []
        return label_of(self.name, parts)

    def obstacles(self) -> Mapping[Need, str]:
        """Return what peft says of the type."""
        from methods.peft_any.types import UNMERGED, is_prompt

        if is_prompt(self.type):
            return {"units": f"peft type {self.type} learns a prompt, and nothing in the layers"}
        if self.type == "ADALORA":
            return OBSTACLES
        if self.type == "ADAMSS":
            return {"in_backward": OBSTACLES["in_backward"]}
        if self.type in UNMERGED:
            return {"fold": f"peft cannot merge adapters of type {self.type}"}
        return {}

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say what a named set is here; other targets are peft's. Say what a forecast assumes."""
        from methods.peft_any.hollow import assumptions

        targets = self.options.get("target_modules")
        meant = surgery.what_targets_mean(model, targets) if targets in TARGET_SETS else []
        return meant + assumptions(self.type, self.options)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Let peft edit the model, or wrap it where the type learns a prompt."""
        from methods.peft_any.hollow import structure_by_config
        from methods.peft_any.types import (
            NEEDS_FORWARD,
            UNMERGED,
            WHOLE,
            build_config,
            is_prompt,
        )
        from methods.slices import opened

        task = _task_type(model)
        prompt = is_prompt(self.type)
        if prompt and task is None:
            raise ValueError(f"peft type {self.type} prepends tokens: it needs a text model")
        if self.type in WHOLE:
            quantized.refuse_quantized(model, f"peft's {self.type} computes with its whole weights")
        options = self.options
        if options.get("target_modules") in TARGET_SETS:
            names = surgery.target_modules(model, options["target_modules"])
            options["target_modules"] = opened(model, names)
        config = build_config(self.type, options, task or "", plan.num_steps)
        kind = UnmergedHandle if prompt or self.type in UNMERGED else TunerHandle
        if self.type == "ADALORA":
            from methods.adalora.handle import AdaLoraHandle

            kind = AdaLoraHandle
        try:
            wrap = prompt or self.type in NEEDS_FORWARD
            with structure_by_config(self.type, model):
                handle = attach_tuner(
                    model, config, plan, kind, wrap, autocast=self.autocast_adapter_dtype
                )
                if self.type == "PREFIX_TUNING":
                    _refuse_other_heads(model, config)
                return handle
        except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
            if "Please specify" in str(error) and "target_modules" not in options:
                kind_of = surgery.transformer_of(model)[1].config.model_type
                raise ValueError(
                    f"peft type {self.type}: peft has no default target_modules for {kind_of}; "
                    "target_modules: all-linear, or a list of names, says which"
                ) from None
            raise ValueError(f"peft type {self.type}: {error}") from error


class UnmergedHandle(TunerHandle):
    """Adapters that cannot be folded into the base weights: they stay beside them."""

    merges: ClassVar[bool] = False

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the model with its adapters."""
        return model

    def prepare_to_fold(self) -> None:
        """Refuse."""
        raise ValueError("peft cannot merge adapters of this type")


def _refuse_other_heads(model: nn.Module, config: Any) -> None:
    """Refuse a prefix that is not as wide as the model's heads: peft divides the model's width.

    Raises:
        ValueError: naming both, and the `token_dim` that fits.
    """
    own = surgery.transformer_of(model)[1].config
    heads, width = config.num_attention_heads, config.token_dim
    each = getattr(own, "d_kv", None)
    if each is not None and heads * each != width:
        raise ValueError(
            f"its keys and values would be {width} wide, and the {heads} heads of this "
            f"{own.model_type} model have {each} each; token_dim: {heads * each} fits"
        )


def _task_type(model: nn.Module) -> str | None:
    name = type(model).__name__
    return next((task for end, task in TASK_TYPES.items() if name.endswith(end)), None)
