"""SoRA (Ding et al., 2023): LoRA whose ranks are gated, with gates that a proximal step zeroes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from methods import surgery
from methods.base import Stage
from methods.common import folding
from methods.common.in_place import UNMERGED_NORMS, in_place, norm_parameters
from methods.common.options import LayerOptions
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan


class Sora(LayerOptions):
    """y = W0 x + b0 + (alpha / r) B ((A drop(x)) * g), with A (r, d_in), g (1, r), B (d_out, r).

    A starts Kaiming-uniform with bound 1/sqrt(d_in), g standard normal and B at 0, so training
    starts at the base model. The loss has a term eta * mean |g| over all gates of the model. After
    each optimizer step every gate moves towards 0 by xi (not times the learning rate) and stops
    there; a gate at 0 still gets gradients and may return. Gates do not decay. Nothing is saved
    while training: `compact` takes out the ranks whose gates ended at 0.

    Published (released script without a schedule): r, alpha, eta and xi as by default, with lr
    8e-4, clipping at 0.1, weight decay 0.1 and warm-up 0.06 on DeBERTaV3-base, batch 8. xi is per
    step: in 20 epochs of CoLA at batch 8 it moves a gate by up to 6.41, at batch 64 by 0.80; eight
    times xi makes up for it. Other than here, the released configuration trains the LayerNorms of
    the layers too (`train_layernorm: true`). AFLoRA's table has SoRA with r 4.

    The released schedule (paper's Algorithm 1) raises xi linearly from 0 to 7e-4 in 7 stages, the
    first of 50 epochs and each later one of 15; here stages are equally long.
    """

    name: ClassVar[str] = "sora"

    r: PositiveInt = Field(8, description="rank before any gate is zero")
    alpha: PositiveFloat = 16
    eta: NonNegativeFloat = Field(10, description="weight of the mean |gate| in the loss")
    xi: NonNegativeFloat = Field(3e-4, description="how far a step moves each gate towards 0")
    prox: Literal["exact", "official"] = Field(
        "exact",
        description="soft threshold; or the released code's, which also zeroes xi < |gate| < 2 xi",
    )
    xi_stages: PositiveInt = Field(
        1, description="equal parts of the run, over which xi grows from 0; 1: constant"
    )

    train_layernorm: bool = Field(
        False,
        description="train the LayerNorms of these layers, too, as the released configuration does",
        exclude_if=lambda value: value is False,
    )

    @property
    def label(self) -> str:
        """Return `sora-r8`, with the options that are not the defaults."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        parts: list[tuple[str, object, object]] = [
            ("r", self.r, None),
            ("a", f"{self.alpha:g}", f"{default['alpha']:g}"),
            *self.target_label,
            ("eta", f"{self.eta:g}", f"{default['eta']:g}"),
            ("xi", f"{self.xi:g}", f"{default['xi']:g}"),
            ("", self.prox, default["prox"]),
            ("stages", self.xi_stages, default["xi_stages"]),
        ]
        parts += [("", "train_layernorm", None)] if self.train_layernorm else []
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Wrap every target.

        Raises:
            ValueError: the run has fewer steps than stages.
        """
        from methods.sora.handle import SoraHandle, SoraOptions
        from methods.sora.layer import SoraLayer

        if self.xi_stages > plan.num_steps:
            raise ValueError(
                f"xi_stages {self.xi_stages}: the run has only {plan.num_steps} steps to share out"
            )
        names = self.opened_targets(model)
        surgery.freeze_base(model, plan)
        modules: dict[str, SoraLayer] = {}
        adapter: dict[str, nn.Parameter] = {}
        for name in names:
            base = model.get_submodule(name)
            module = SoraLayer(base, self.r, factor=self.alpha / self.r, dropout=self.dropout)
            folding.replace_module(model, name, module)
            modules[name] = module
            adapter |= {f"{name}.{key}": p for key, p in module.named_parameters(recurse=False)}
        norms = self._norms(model)
        for parameter in norms.values():
            parameter.requires_grad_(True)
        adapter |= norms
        return SoraHandle(
            model=model,
            adapter=adapter,
            layers=surgery.group_by_layer(model, adapter),
            modules=modules,
            options=SoraOptions(self.r, self.eta, self.xi, self.xi_stages, self.prox),
            num_steps=plan.num_steps,
            norms=in_place(model, norms) if norms else None,
        )

    def stages(self, plan: Plan) -> list[Stage]:
        """Return training, which saves nothing, and what a run with half of the ranks left takes.

        Which share ends at 0 depends on the data; a half is an example.
        """
        return [Stage("training"), Stage("half of the gates zero, compacted", 0.5)]

    def expected_count(self, model: nn.Module) -> int:
        """Sum r (d_in + d_out + 1) over the targets; the 1 is the gate."""
        shapes = self.target_shapes(model)
        gated = sum(self.r * (d_in + d_out + 1) for d_in, d_out in shapes)
        return gated + sum(p.numel() for p in self._norms(model).values())

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add how far xi moves a gate in this run."""
        if plan is None:
            return super().remarks(model, plan)
        moved = self.xi * plan.num_steps / (1 if self.xi_stages == 1 else 2)
        own = f"xi is per step, and moves a gate by up to {moved:.2g} in {plan.num_steps} steps"
        return [*super().remarks(model, plan), own]

    def obstacles(self) -> Mapping[Need, str]:
        """Return that LayerNorms cannot be merged, and that a gate moves if it has a gradient."""
        own: dict[Need, str] = {"in_backward": "gates shrink that have a gradient in the step"}
        return {**own, "fold": UNMERGED_NORMS} if self.train_layernorm else own

    def _norms(self, model: nn.Module) -> dict[str, nn.Parameter]:
        if not self.train_layernorm:
            return {}
        names = surgery.layer_names(model)
        chosen = [names[index] for index in surgery.select_layers(model, self.layers)]
        return dict(item for layer in chosen for item in norm_parameters(model, layer))
