"""AdaLoRA (Zhang et al., 2023) on peft's tuner: triplets of ranks share one falling budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from methods.common.options import LayerOptions, any_transposed
from methods.common.schedules import Span
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan

OBSTACLES: dict[Need, str] = {
    "skip": "it compares gradients of all layers in every step, so that none can be left out",
    "fold": "it shares one budget of ranks among all layers, so that none can be merged alone",
    "in_backward": "its importances are of the gradients of all layers",
}


class AdaLora(LayerOptions):
    """y = W0 x + b0 + (alpha / init_r) B (E * (A drop(x))), A (r, d_in), E (r, 1), B (d_out, r).

    A and B start normal with deviation 0.02, E at 0, so training starts at the base model. The loss
    has a term orth * the mean of ||P P^T - I||_F over all A, and B transposed. After each optimizer
    step every element's |w g| goes into two running means, whose product is its importance. From
    `tinit` on the number of triplets (E_k, A_k, B_k) of the whole model falls as 1 - cubic from
    init_r to target_r per target; the least important have their E_k set to 0, and may return until
    the last `tfinal` steps. Nothing is freed while training: `compact` takes out what ended at 0.

    Published: AFLoRA's row has 1.27 M parameters on DeBERTaV3-base, six linear layers, init_r 12
    and, as that count implies, target_r 8. Its orth is from 0.1 to 0.3 and its beta 0.85 in the
    released scripts; tinit, tfinal, delta_t and alpha differ per task there and are assumed here.
    """

    name: ClassVar[str] = "adalora"

    init_r: PositiveInt = Field(12, description="rank of each target at first")
    target_r: PositiveInt = Field(8, description="mean rank at the end")
    alpha: PositiveFloat = 16
    tinit: Span = Field(Span(fraction=0.1), description="the budget stays at first")
    tfinal: Span = Field(Span(fraction=0.3), description="length of the end, where ranks are fixed")
    delta_t: PositiveInt = Field(10, description="steps between two allocations of the budget")
    beta1: float = Field(0.85, gt=0, lt=1, description="of the running mean of |w g|")
    beta2: float = Field(0.85, gt=0, lt=1, description="of the running mean of its deviation")
    orth: NonNegativeFloat = Field(0.1, description="weight of the orthogonality term")

    @property
    def label(self) -> str:
        """Return `adalora-r8`, the target rank, with the options that are not the defaults."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        parts = [
            ("r", self.target_r, None),
            ("from", self.init_r, default["init_r"]),
            ("a", f"{self.alpha:g}", f"{default['alpha']:g}"),
            *self.target_label,
            ("ti", str(self.tinit), str(default["tinit"])),
            ("tf", str(self.tfinal), str(default["tfinal"])),
            ("every", self.delta_t, default["delta_t"]),
            ("b1_", self.beta1, default["beta1"]),
            ("b2_", self.beta2, default["beta2"]),
            ("orth", f"{self.orth:g}", f"{default['orth']:g}"),
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Wrap every target.

        Raises:
            ValueError: the run is too short for the budget to fall, or target_r is no less than
                init_r.
        """
        from peft import AdaLoraConfig

        from methods.adalora.handle import AdaLoraHandle
        from methods.common.tuner import attach_tuner

        tinit, tfinal = self._schedule(plan)
        names = self.opened_targets(model)
        config = AdaLoraConfig(
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=names,
            fan_in_fan_out=any_transposed(model, names),
            tinit=tinit,
            tfinal=tfinal,
            deltaT=self.delta_t,
            beta1=self.beta1,
            beta2=self.beta2,
            orth_reg_weight=self.orth,
            total_step=plan.num_steps,
        )
        return attach_tuner(model, config, plan, AdaLoraHandle)

    def obstacles(self) -> Mapping[Need, str]:
        """Return that layers share a budget; frozen ones keep the ranks that they have."""
        return OBSTACLES

    def expected_count(self, model: nn.Module) -> int:
        """Sum init_r (d_in + d_out + 1) over the targets; the 1 is E's."""
        shapes = self.target_shapes(model)
        return sum(self.init_r * (d_in + d_out + 1) for d_in, d_out in shapes)

    def _schedule(self, plan: Plan) -> tuple[int, int]:
        """Return tinit and tfinal in steps."""
        tinit, tfinal = self.tinit.steps(plan), self.tfinal.steps(plan)
        if tfinal < 1 or tinit + tfinal >= plan.num_steps:
            raise ValueError(
                f"tinit {self.tinit} ({tinit} steps) and tfinal {self.tfinal} ({tfinal} steps) of "
                f"{plan.num_steps}: the budget needs steps between them to fall in, and one at the "
                "end to be met"
            )
        return tinit, tfinal
