"""The training settings of a cell: what a suite may set under `train:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from harness.suite.optimization import Optimization

LigerKernel = Literal["rms_norm", "swiglu", "geglu", "rope", "cross_entropy"]
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


class TrainSettings(Optimization):
    """Everything about training that is not the method; part of a cell's identity."""

    batch_size: PositiveInt = Field(32, description="examples per forward pass, of each device")
    accumulate: PositiveInt = Field(1, description="forward passes per optimizer step")
    devices: PositiveInt = Field(
        1,
        description="data parallel: so many GPUs, or processes on the CPU, each with a copy of the "
        "model and a batch of batch_size; a step is of all their examples",
        exclude_if=lambda value: value == 1,
    )
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
    padding: Literal["max", "longest", "packed"] = Field(
        "longest",
        description="pad to max_length or to the longest example of the batch; packed: rows of "
        "max_length tokens, each of whole examples one behind another",
    )
    length_grouping: bool = Field(False, description="batch examples of like length together")
    lr: PositiveFloat = 1e-3
    head_lr: PositiveFloat | None = Field(None, description="the head's own rate; null: lr")
    weight_decay: float = Field(0.0, ge=0, description="not applied to biases and LayerNorms")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1, description="share of all steps")
    clip: PositiveFloat | None = Field(1.0, description="gradient norm; null: no clipping")
    gradient_checkpointing: Literal[False, True, "reentrant"] = Field(
        False,
        description="run layers again in backward in place of keeping what they saved; reentrant: "
        "torch's older kind, with which the embeddings' output requires a gradient",
    )
    loss: Literal["model", "chunked", "chunked-output", "liger"] = Field(
        "model",
        description="of a language model. model: transformers' own, over all logits at once; "
        "chunked: head and cross-entropy in pieces of tokens, run again in backward; "
        "chunked-output: all logits at once and cross-entropy in pieces, as torchtune's "
        "CEWithChunkedOutputLoss; liger: Liger's fused linear cross-entropy",
        exclude_if=lambda value: value == "model",
    )
    loss_chunks: PositiveInt | None = Field(
        None,
        description="pieces of a chunked loss; null: 8",
        exclude_if=lambda value: value is None,
    )
    liger_kernels: tuple[LigerKernel, ...] = Field(
        (),
        description="Liger's kernels in place of the model's own layers",
        exclude_if=lambda value: not value,
    )
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
    def smooths_apart(self) -> bool:
        """Whether the smoothed loss is computed beside the model's own."""
        return self.label_smoothing > 0 and self.loss == "model"

    @property
    def step_batch(self) -> int:
        """Examples of one pass on all devices."""
        return self.batch_size * self.devices

    @property
    def evaluation_batch(self) -> int:
        """Examples per batch of evaluations and probes."""
        return self.eval_batch_size or self.batch_size

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        return renamed(given) if isinstance(given, dict) else given

    def early(self) -> list[str]:
        """Say which settings want all gradients at once, where none outlives its own step."""
        if not self.optimizer_in_backward:
            return []
        where = "optimizer_in_backward = true"
        found = [f"{where}: no norm of all gradients is known; clip must be null, and is "
                 f"{self.clip:g}"] if self.clip is not None else []  # fmt: skip
        if self.accumulate > 1:
            found.append(f"{where}: gradients are not summed up; accumulate must be 1, and is "
                         f"{self.accumulate}")  # fmt: skip
        if self.devices > 1:
            found.append(
                f"{where}: gradients are averaged over devices when backward has them; devices "
                f"must be 1, and is {self.devices}"
            )
        if self.dtypes.scaled:
            found.append(
                f"{where}: autocast to fp16 has a scaler, which looks at all gradients; bf16 and "
                "fp32 have none"
            )
        return found

    def idle_losses(self) -> list[str]:
        """Say which settings are another loss's than the one that is set, or of two losses."""
        wrong = []
        if self.loss_chunks and not self.loss.startswith("chunked"):
            wrong.append(f"loss_chunks = {self.loss_chunks} is chunked's, and loss is {self.loss}")
        if "cross_entropy" in self.liger_kernels and self.loss != "model":
            wrong.append(f"liger_kernels = cross_entropy is of loss: model, and it is {self.loss}")
        return wrong

    @model_validator(mode="after")
    def _check(self) -> TrainSettings:
        # A layer of settings without the other half may lie over one that says it.
        said = self.model_fields_set
        wrong = [*(self.idle() if "optimizer" in said else []),
                 *(self.idle_losses() if "loss" in said else []),
                 *(self.unserved() if {"attention", "precision"} <= said else [])]  # fmt: skip
        if wrong:
            raise ValueError(wrong[0])
        if self.length_grouping and self.padding != "longest":
            raise ValueError(f"length_grouping has no effect with padding: {self.padding}")
        return self
