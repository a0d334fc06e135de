"""ELoRA, also known as VeRA (Kopiczko et al., 2024), on peft's tuner."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from methods.common.options import LayerOptions, any_transposed
from methods.wording import label_of

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor, nn

    from methods.base import Handle, Plan


class Elora(LayerOptions):
    """y = W0 x + b0 + s_b * (B (s_d * (A drop(x)))): frozen random A, B, trained vectors.

    A (r, d_in) is uniform with bound sqrt(6 / d_in), B (d_out, r) with sqrt(6 / r), s_d (r) starts
    at 0.1 and s_b (d_out) at 0, so training starts at the base model. There is no factor alpha. An
    A that all layers share (`share: global`) is drawn for the widest, and its bound is that one's:
    sqrt(6 / max d_in).

    Published: AFLoRA's ELoRA row has r 1024 on all six linear layers. Whether it shared A and B is
    unknown (its released code can share per shape, its scripts do not); the original shares one
    pair over the whole model, cut to each layer's size, which is the default here.
    """

    name: ClassVar[str] = "elora"

    r: PositiveInt = 1024
    d_initial: float = Field(0.1, description="start value of s_d")
    share: Literal["global", "by_shape", "none"] = Field(
        "global", description="one pair A, B per model, per (d_in, d_out), or per layer"
    )

    @property
    def label(self) -> str:
        """Return `elora-r1024`, with the options that are not the defaults."""
        options = type(self).model_fields
        dropout, *where = self.target_label
        parts = [
            ("r", self.r, None),
            ("s", self.d_initial, options["d_initial"].default),
            dropout,
            ("share_", self.share, options["share"].default),
            *where,
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Wrap every target; A and B follow from the plan's seed."""
        from peft import VeraConfig

        from methods.common.tuner import attach_tuner

        names = self.opened_targets(model)
        config = VeraConfig(
            r=self.r,
            projection_prng_key=plan.seed,
            vera_dropout=self.dropout,
            d_initial=self.d_initial,
            target_modules=names,
            fan_in_fan_out=any_transposed(model, names),
        )
        handle = attach_tuner(model, config, plan)
        if self.share != "global":
            handle.buffers = _split_projections(handle.peft, by_shape=self.share == "by_shape")
        return handle

    def expected_count(self, model: nn.Module) -> int:
        """Sum r + d_out over the targets."""
        return sum(self.r + d_out for _, d_out in self.target_shapes(model))


def _split_projections(peft: PeftModel, by_shape: bool) -> dict[str, Tensor]:
    """Give each layer, or each shape of layers, an A and B of its own instead of the model's.

    Returns the new pairs by name, each shared one once.
    """
    import torch
    from peft.tuners._buffer_dict import BufferDict
    from peft.tuners.vera.layer import VeraLayer
    from torch.nn.init import kaiming_uniform_

    shared: dict[Hashable, tuple[BufferDict, BufferDict]] = {}
    projections: dict[str, Tensor] = {}
    for name, layer in peft.base_model.model.named_modules():
        if not isinstance(layer, VeraLayer):
            continue
        shape = (layer.in_features, layer.out_features)
        key = shape if by_shape else name
        if key not in shared:
            like = layer.vera_lambda_d["default"]
            rank = len(like)
            a = kaiming_uniform_(torch.empty(rank, shape[0], dtype=like.dtype, device=like.device))
            b = kaiming_uniform_(torch.empty(shape[1], rank, dtype=like.dtype, device=like.device))
            shared[key] = (BufferDict({"default": a}), BufferDict({"default": b}))
            projections |= {f"{name}.vera_A.default": a, f"{name}.vera_B.default": b}
        layer.vera_A, layer.vera_B = shared[key]
    # The tuner's own reference is the last one to the pair of the whole model.
    peft.base_model.vera_A, peft.base_model.vera_B = BufferDict({}), BufferDict({})
    return projections
