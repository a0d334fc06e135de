"""The training settings of a cell: what a suite may set under `train:`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

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
    precision: Literal["fp32", "tf32", "bf16", "fp16", "bf16-weights"] = Field(
        "fp32",
        description="bf16 and fp16: autocast over fp32 weights; bf16-weights: the base in bf16, "
        "adapter and head in fp32",
    )
    attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    gradient_checkpointing: bool = False
    keep_outputs: bool = Field(
        False,
        description="hold outputs (with a decoder's cached keys and values) and gradients until "
        "the next step replaces them, as a loop does that calls zero_grad first",
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
    def evaluation_batch(self) -> int:
        """Examples per batch of evaluations and probes."""
        return self.eval_batch_size or self.batch_size

    def idle(self) -> list[str]:
        """Say which settings are another optimizer's than the one that is set."""
        return [
            f"{name} = {getattr(self, name)} is {owner}'s, and optimizer is {self.optimizer}"
            for name, owner in OWNERS.items()
            if not self.optimizer.startswith(owner)
            and getattr(self, name) != type(self).model_fields[name].default
        ]

    @model_validator(mode="after")
    def _check(self) -> TrainSettings:
        if self.attention == "flash_attention_2" and self.precision in {"fp32", "tf32"}:
            raise ValueError(
                "attention: flash_attention_2 needs precision bf16, fp16 or bf16-weights"
            )
        # A layer of settings without an optimizer may lie over one that says which.
        if "optimizer" in self.model_fields_set and self.idle():
            raise ValueError(self.idle()[0])
        if self.length_grouping and self.padding == "max":
            raise ValueError("length_grouping has no effect with padding: max")
        return self
