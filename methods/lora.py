"""LoRA (Hu et al., 2021) on peft's tuner."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from methods.common.options import LayerOptions, any_transposed
from methods.wording import label_of

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Handle, Plan


class Lora(LayerOptions):
    """y = W0 x + b0 + (alpha / r) B A drop(x), with A (r, d_in) and B (d_out, r).

    A starts Kaiming-uniform with bound 1/sqrt(d_in), B at 0, so training starts at the base model;
    not with `init: normal`.

    Published: SAFE r 4, alpha 16, dropout 0.1, targets qv. AFLoRA's tables r 8 on all six linear
    layers (BART r 16; LLaMA r 32, alpha 64, dropout 0.05 on q, k, v, up, down). The defaults are
    AFLoRA's row; its alpha (16) and dropout (0) are not printed and assumed from released code.
    """

    name: ClassVar[str] = "lora"

    r: PositiveInt = 8
    alpha: PositiveFloat = 16
    init: Literal["lora", "normal"] = Field(
        "lora",
        description="A and B as above, or both from N(0, 0.02) (SparseAdapter's released code)",
        exclude_if=lambda value: value == "lora",
    )

    @property
    def label(self) -> str:
        """Return `lora-r8`, with the options that are not the defaults."""
        options = type(self).model_fields
        parts = [
            ("r", self.r, None),
            ("a", f"{self.alpha:g}", f"{options['alpha'].default:g}"),
            *self.target_label,
            ("", self.init, options["init"].default),
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Wrap every target in a LoRA layer."""
        from peft import LoraConfig
        from torch.nn.init import normal_

        from methods.common.tuner import attach_tuner

        names = self.opened_targets(model)
        config = LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=names,
            fan_in_fan_out=any_transposed(model, names),
        )
        handle = attach_tuner(model, config, plan)
        if self.init == "normal":
            for parameter in handle.parameters():
                normal_(parameter, std=0.02)
        return handle

    def expected_count(self, model: nn.Module) -> int:
        """Sum r (d_in + d_out) over the targets."""
        shapes = self.target_shapes(model)
        return sum(self.r * (d_in + d_out) for d_in, d_out in shapes)
