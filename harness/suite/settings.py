"""The training settings of a cell: what a suite may set under `train:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from harness.models.attention import FLASH, Attention
from methods.numbers import ExactNumbers


class Frozen(ExactNumbers):
    """A strict, immutable piece of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def given(self) -> dict[str, Any]:
        """Return only what was written down, so that layers of settings can be merged."""
        return {name: getattr(self, name) for name in self.model_fields_set}


Share = Annotated[float, Field(ge=0, lt=1)]
# Settings of single optimizers, and what the names of these begin with.
OWNERS = {"betas": "adamw", "eps": "adamw", "momentum": "sgd"}


OLD_OUTPUTS = "keep_outputs"  # of suites and records until November 2026


def renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read `keep_outputs`, an older name, as the `outputs` that it meant.

    Raises:
        ValueError: both are given, or it was neither true nor false.
    """
    if OLD_OUTPUTS not in given:
        return dict(given)
    new = {name: value for name, value in given.items() if name != OLD_OUTPUTS}
    if "outputs" in new:
        raise ValueError("keep_outputs is the older name of outputs; give one of them")
    old = given[OLD_OUTPUTS]
    if not isinstance(old, bool):
        raise ValueError(f"keep_outputs = {old!r}: true or false; now outputs: kept or dropped")
    return new | {"outputs": "kept" if old else "dropped"}


class TrainSettings(Frozen):
    """Everything about training that is not the method; part of a cell's identity."""

    batch_size: PositiveInt = Field(32, description="examples per forward pass")
    accumulate: PositiveInt = Field(1, description="forward passes per optimizer step")
    eval_batch_size: PositiveInt | None = Field(
        None, description="examples per evaluation batch; null: batch_size"
    )
    epochs: PositiveInt = 3
    max_steps: PositiveInt | None = Field(None, description="stop after so many optimizer steps")
    max_length: PositiveInt = Field(128, description="tokens; longer examples are cut")
    max_target_length: PositiveInt | None = Field(
        None,
        description="tokens of an encoder-decoder's targets; longer ones are cut; null: max_length",
        exclude_if=lambda value: value is None,
    )
    train_on_prompt: bool | None = Field(
        None,
        description="take a decoder's loss of prompts, too; null: as the task's recipe has it",
        exclude_if=lambda value: value is None,
    )
    padding: Literal["max", "longest"] = Field(
        "longest", description="pad to max_length or to the longest example of the batch"
    )
    length_grouping: bool = Field(False, description="batch examples of like length together")
    optimizer: Literal["adamw", "adamw-fused", "sgd", "adafactor"] = Field(
        "adamw",
        description="adamw-fused: one kernel in place of foreach's, whose temporaries are as large "
        "as all that trains; on the CPU both are fused",
    )
    betas: tuple[Share, Share] = Field(
        (0.9, 0.999), description="of adamw's means", exclude_if=lambda value: value == (0.9, 0.999)
    )
    eps: PositiveFloat = Field(
        1e-8, description="in adamw's denominator", exclude_if=lambda value: value == 1e-8
    )
    momentum: Share = Field(
        0.9,
        description="of sgd; 0: none, and no state",
        exclude_if=lambda value: value == 0.9,
    )
    lr: PositiveFloat = 1e-3
    head_lr: PositiveFloat | None = Field(None, description="the head's own rate; null: lr")
    weight_decay: float = Field(0.0, ge=0, description="not applied to biases and LayerNorms")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1, description="share of all steps")
    clip: PositiveFloat | None = Field(1.0, description="gradient norm; null: no clipping")
    precision: Literal["fp32", "tf32", "bf16", "fp16", "bf16-weights", "fp16-weights"] = Field(
        "fp32",
        description="bf16 and fp16: autocast over fp32 weights; bf16-weights and fp16-weights: the "
        "base in 16 bits, adapter and head in fp32, no autocast and no scaler of the loss",
    )
    attention: Attention = Field(
        "auto",
        description="auto: the model's own, sdpa where it has it; {sdpa: efficient}, or flash, "
        "math, cudnn: this kernel alone; flash_attention_2: of the package flash-attn",
    )
    gradient_checkpointing: bool = False
    outputs: Literal["dropped", "step", "kept"] = Field(
        "dropped",
        description="how long the model's outputs live. dropped: until their loss is there, as in "
        "a Trainer. step: to the end of the step, as in a loop whose step is a function. kept: "
        "they and the gradients until the next step replaces them, as in a loop that calls "
        "zero_grad first. Outputs that live have a decoder's cached keys and values",
        exclude_if=lambda value: value == "dropped",
    )
    empty_cache_steps: PositiveInt | None = Field(
        None,
        description="on a GPU, give what the allocator caches back to the driver after every so "
        "many steps; null: never",
        exclude_if=lambda value: value is None,
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    augmentation: Literal["mirror", "none"] | None = Field(
        None,
        description="of images in training: mirrored left to right at random, or left as they are; "
        "null: mirrored",
        exclude_if=lambda value: value is None,
    )
    train_pooler: bool = Field(False, description="train the pooler with the head")
    evaluate: Literal["epoch", "end"] = Field(
        "end", description="score every epoch or at the end; the best checkpoint needs every epoch"
    )
    checkpoint: Literal["best", "last"] | None = Field(
        None, description="which epoch's score is reported; null: the protocol's"
    )

    @property
    def holds_outputs(self) -> bool:
        """Whether outputs outlive their loss."""
        return self.outputs != "dropped"

    @property
    def evaluation_batch(self) -> int:
        """Examples per batch of evaluations and probes."""
        return self.eval_batch_size or self.batch_size

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        return renamed(given) if isinstance(given, dict) else given

    def idle(self) -> list[str]:
        """Say which settings are another optimizer's than the one that is set."""
        return [
            f"{name} = {getattr(self, name)} is {owner}'s, and optimizer is {self.optimizer}"
            for name, owner in OWNERS.items()
            if not self.optimizer.startswith(owner)
            and getattr(self, name) != type(self).model_fields[name].default
        ]

    def unserved(self) -> list[str]:
        """Say where the attention's package has no kernels in the precision."""
        if self.attention != FLASH or self.precision not in {"fp32", "tf32"}:
            return []
        return [
            f"attention = {FLASH} needs precision bf16, fp16, bf16-weights or fp16-weights, and "
            f"precision is {self.precision}"
        ]

    @model_validator(mode="after")
    def _check(self) -> TrainSettings:
        # A layer of settings without the other half may lie over one that says it.
        said = self.model_fields_set
        wrong = [*(self.idle() if "optimizer" in said else []),
                 *(self.unserved() if {"attention", "precision"} <= said else [])]  # fmt: skip
        if wrong:
            raise ValueError(wrong[0])
        if self.length_grouping and self.padding == "max":
            raise ValueError("length_grouping has no effect with padding: max")
        return self
