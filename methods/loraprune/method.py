"""LoRAPrune (Zhang et al., 2024): heads and channels that LoRA's gradients call unimportant go."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from methods import surgery
from methods.base import Course, Stage
from methods.common import folding
from methods.common.options import TargetOptions
from methods.lora import Lora
from methods.plan import course_of
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan
    from methods.loraprune.groups import GroupSet
    from methods.loraprune.masks import MaskedSet
    from methods.loraprune.schedule import PruningSchedule


class LoraPrune(TargetOptions):
    """y = mask * (W0 x + b0 + (alpha / r) B A drop(x)), masks over whole heads and FFN channels.

    A group's importance is the moving average of |G * (W0 + (alpha / r) B A)|, with the gradient
    estimated as G = gB A + B gA - gB gA, summed over its rows and columns of every matrix. Every
    `interval` steps the least important groups of each layer are masked, up to a share that grows
    from `initial` to `ratio` as 1 - (1 - x)^3 between `warm_up` and the last `cool_down`. The share
    itself is never reached: with 0.5 of 16 heads, 7 go.

    While groups are masked, neither memory nor FLOPs are saved; what is masked is taken out at the
    end, and at `compact_at` during training too. That is not in the paper, and later choices may
    differ by it: importances are divided by norms over what is in the model.

    Gradients are scored before they are clipped, in the released trainer after it. Clipping is one
    factor on all of them, which the norms that importances are divided by take out again, but for
    the term gB gA.

    Published, on LLaMA: r 8, alpha 16, dropout 0.05, targets all-linear. Grouped-query attention,
    encoders and ViT are ours (assumed: LoRA on every matrix of a group). The criterion `grad`,
    which needs gradients of the base weights, is left out.
    """

    name: ClassVar[str] = "loraprune"

    r: PositiveInt = 8
    alpha: PositiveFloat = 16
    ratio: float = Field(0.5, gt=0, lt=1, description="share of each layer's groups that goes")
    metric: Literal["lora", "magnitude"] = Field(
        "lora", description="weights times LoRA's estimate of their gradient, or weights alone"
    )
    initial: float = Field(0.0, ge=0, lt=1, description="share that the ramp starts from")
    warm_up: float = Field(0.1, ge=0, lt=1, description="of the run: nothing is masked")
    cool_down: float = Field(0.1, ge=0, lt=1, description="of the run: nothing more is masked")
    interval: PositiveInt = Field(10, description="steps between selections")
    ema: float = Field(0.9, ge=0, lt=1, description="share that importance keeps in a step")
    protect_first: float = Field(0.1, ge=0, le=1, description="lowest layers that keep all groups")
    protect_last: int = Field(1, ge=0, description="number of highest layers that keep all groups")
    compact_at: tuple[float, ...] = Field(
        (), description="shares of the run after which what is masked is taken out, beside its end"
    )

    @model_validator(mode="after")
    def _check_options(self) -> LoraPrune:
        if self.initial >= self.ratio:
            raise ValueError(f"initial {self.initial:g} is not below ratio {self.ratio:g}")
        if self.warm_up + self.cool_down >= 1:
            raise ValueError("warm_up and cool_down leave nothing of the run to prune in")
        wrong = [share for share in self.compact_at if not self.warm_up < share <= 1]
        if wrong:
            raise ValueError(
                f"compact_at {wrong[0]:g}: nothing is masked before warm_up ({self.warm_up:g} of "
                "the run) is over; give shares between that and 1, such as [0.5, 0.9]"
            )
        return self

    @property
    def label(self) -> str:
        """Return `loraprune-r8`, with the options that are not the defaults."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        parts: list[tuple[str, object, object]] = [
            ("r", self.r, None),
            ("a", f"{self.alpha:g}", f"{default['alpha']:g}"),
            *self.target_label,
            ("", self.metric, default["metric"]),
            ("every", self.interval, default["interval"]),
        ]
        names = ("ratio", "initial", "warm_up", "cool_down", "ema", "protect_first",
                 "protect_last", "compact_at")  # fmt: skip
        parts += [(name, getattr(self, name), default[name]) for name in names]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Attach LoRA, and put masks behind its layers.

        Raises:
            ValueError: no step of the run would mask anything, no layer may be pruned, heads of
                this family cannot be, a group has a matrix without LoRA, or the run would go back
                to its best epoch.
        """
        from methods.loraprune.groups import group_sets
        from methods.loraprune.handle import LoraPruneHandle

        schedule = self._schedule(plan)
        groups = group_sets(model)
        protected = self._protected(len(surgery.layer_names(model)))
        live = [group_set for group_set in groups if group_set.layer not in protected]
        self._refuse_unscored(model, live)
        sets = [
            _masked_set(model, group_set, live=group_set.layer not in protected)
            for group_set in groups
        ]
        return LoraPruneHandle.around(
            self._lora().attach(model, plan),
            sets=sets,
            schedule=schedule,
            metric=self.metric,
            ema=self.ema,
            compact_after=frozenset(round(share * plan.num_steps) for share in self.compact_at),
        )

    def stages(self, plan: Plan) -> list[Stage]:
        """Return training with masks, and training of what is left when all of them are full.

        Raises:
            ValueError: no step of the run would mask anything, or it would go back to its best
                epoch.
        """
        self._schedule(plan)
        return [Stage("masked", 0.0), Stage("compacted", self.ratio)]

    def course(self, plan: Plan) -> Course:
        """Return the share that is taken out: nothing, or what was masked at each `compact_at`."""
        schedule = self._schedule(plan)

        def taken_out(done: float) -> float:
            passed = [share for share in self.compact_at if share <= done]
            return schedule.ratio(max(passed) * plan.num_steps) if passed else 0.0

        return course_of(taken_out)

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add what is out of reach of the ratio, and what `compact_at` changes."""
        protected = len(self._protected(len(surgery.layer_names(model))))
        effects = [*super().remarks(model, plan)]
        kept = f"ratio is of a layer's heads and channels; {protected} of the layers keep all"
        effects += [kept] if protected else []
        early = "compact_at may change later choices: importances are relative to what is left"
        return [*effects, *([early] if self.compact_at else [])]

    def obstacles(self) -> Mapping[Need, str]:
        """Return that masks and importances hang on the adapters."""
        return {
            "skip": "without its adapters a layer would still have its masks",
            "fold": "the importance of a layer's groups needs its adapters until pruning is over",
            "in_backward": "its importances are of the gradients of all layers",
        }

    def expected_count(self, model: nn.Module) -> int:
        """Return LoRA's count: at first every group is in."""
        return self._lora().expected_count(model)

    def _lora(self) -> Lora:
        return Lora(r=self.r, alpha=self.alpha, dropout=self.dropout, targets=self.targets)

    def _schedule(self, plan: Plan) -> PruningSchedule:
        from methods.loraprune.schedule import PruningSchedule

        if plan.keep_best:
            raise ValueError(
                "loraprune cannot go back to the best epoch, whose tensors were trained with fewer "
                "groups masked or taken out; set train.checkpoint: last"
            )
        schedule = PruningSchedule(
            plan.num_steps, self.initial, self.ratio, self.warm_up, self.cool_down, self.interval
        )
        if schedule.last() is None:
            raise ValueError(
                f"loraprune would mask nothing: of this run's {plan.num_steps} steps none between "
                f"warm_up ({self.warm_up:g}) and cool_down ({self.cool_down:g}) is a multiple of "
                f"interval {self.interval}; train longer, or give a smaller interval"
            )
        return schedule

    def _protected(self, num_layers: int) -> set[int]:
        """Return the layers that keep all groups: rounded down, as in the released code."""
        last = range(max(0, num_layers - self.protect_last), num_layers)
        protected = {*range(int(self.protect_first * num_layers + 1e-9)), *last}
        if len(protected) >= num_layers:
            raise ValueError(
                f"protect_first {self.protect_first:g} and protect_last {self.protect_last} leave "
                f"none of this model's {num_layers} layers to prune"
            )
        return protected

    def _refuse_unscored(self, model: nn.Module, live: list[GroupSet]) -> None:
        """Refuse groups whose importance is undefined, and weights that nothing merges into."""
        from methods.slices import is_part

        names = set(surgery.target_modules(model, self.targets))
        if any(is_part(model, name) for name in names):
            raise ValueError(
                f"loraprune: targets {self.targets!r} are parts of one layer here, whose heads are "
                "pruned as a whole; set targets: all-linear"
            )
        inside = [
            member.name for group_set in live for member in group_set.members if member.scored
        ]
        folding.refuse_unfoldable(model, [*names, *inside])
        without = [name for name in inside if name not in names]
        if self.metric == "lora" and without:
            raise ValueError(
                f"loraprune: targets {self.targets!r} put no LoRA on {without[0]}, so the "
                "importance of its groups is unknown; set targets: all-linear, or metric: magnitude"
            )


def _masked_set(model: nn.Module, groups: GroupSet, *, live: bool) -> MaskedSet:
    """Return a set with nothing masked; a protected one has no tensors on the device."""
    import torch

    from methods.loraprune.masks import MaskedSet

    masked_set = MaskedSet(groups, torch.arange(groups.count, device="cpu"), live=live)
    if live:
        first = surgery.unwrap(model.get_submodule(groups.members[0].name))
        device = first.get_parameter("weight").device
        masked_set.mask = torch.ones(groups.count, dtype=torch.bool, device=device)
        masked_set.average = torch.zeros(groups.count, dtype=torch.float32, device=device)
    return masked_set
