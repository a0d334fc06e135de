"""AFLoRA (Liu et al., 2024): ELoRA at a small rank, whose projections train until they settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from methods import surgery
from methods.aflora.score import FreezingSchedule, FreezingScore, Group, Sensitivity
from methods.base import Course, Stage
from methods.common import folding
from methods.common.options import LayerOptions
from methods.common.schedules import Span
from methods.plan import course_of
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from methods.aflora.layer import AfloraLayer
    from methods.base import Handle, Need, Plan


class Aflora(LayerOptions):
    """y = W0 x + b0 + factor s_b * (B (s_d * (A drop(x)))), each layer with an A and B of its own.

    A (r, d_in) and B (d_out, r) are uniform with bound sqrt(6 / fan_in), s_d (r) starts at 0.1 and
    s_b (d_out) at 0, so training starts at the base model. The vectors always train. Projections
    of the feed-forward block train too until a schedule and a score of their gradients freeze
    them; all others stay as they were drawn.

    Which projections freeze when is one thing in the paper and another in its released code. `rule:
    paper` (the default) is eq. 5: of all adaptive projections so many are frozen, the lowest first.
    The published #Params (0.1327 M on RTE) and Fig. 5's steps come from `rule: official`, whose
    threshold is one of elements and is compared with means: on RTE 2, 46 and 96 % are frozen after
    60, 100 and 150 steps, where eq. 5 says 29, 68 and 92. Neither rule moves a frozen projection
    here; the released code keeps its last gradient, so that it is updated once more.

    Published: all other defaults, on DeBERTaV3-base. On LLaMA-7B (GSM8K, 3 epochs) the released
    code has r 32, alpha 64, dropout 0.05, targets q, k, v, up, down, adaptive both, freezing
    quadratic and t_i = t_f = {fraction: 0.3}; there the paper's t_f would leave no step to freeze
    in.
    """

    name: ClassVar[str] = "aflora"

    r: PositiveInt = 4
    alpha: PositiveFloat | None = Field(None, description="factor alpha / r; none: factor 1")
    d_initial: float = Field(0.1, description="start value of s_d")
    adaptive: Literal["ffn", "attention", "both", "none"] | tuple[str, ...] = Field(
        "ffn", description="targets whose A and B train, by block or by module names"
    )
    freezing: Literal["cubic", "quadratic", "none"] = Field(
        "cubic", description="growth of the frozen share: eq. 5, the GSM8K code's, or never any"
    )
    rule: Literal["paper", "official"] = Field(
        "paper",
        description="eq. 5, the lowest by rank; or the released code's pooled threshold, which "
        "gave the published counts and Fig. 5",
    )
    granularity: Literal["independent", "simultaneous"] = Field(
        "independent", description="whether A and B of a layer freeze apart or together"
    )
    sensitivity: Sensitivity = Field("gradient", description="what the score averages")
    beta1: float = Field(0.85, ge=0, lt=1, description="of the sensitivity's average")
    beta2: float = Field(0.95, ge=0, lt=1, description="of the uncertainty's average")
    interval: PositiveInt | None = Field(
        None, description="steps between selections; none: 1, or 10 with rule official"
    )
    t_i: Span = Field(Span(epochs=1), description="nothing freezes before")
    t_f: Span = Field(Span(fraction=0.7), description="length of the end, where all are frozen")

    @property
    def label(self) -> str:
        """Return `aflora-r4`, with the options that are not the defaults."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        parts = [
            ("r", self.r, None),
            ("a", "" if self.alpha is None else f"{self.alpha:g}", ""),
            ("s", self.d_initial, default["d_initial"]),
            *self.target_label,
            ("adaptive_", self.adaptive, default["adaptive"]),
            ("freezing_", self.freezing, default["freezing"]),
            ("", self.rule, default["rule"]),
            ("", self.granularity, default["granularity"]),
            ("", self.sensitivity, default["sensitivity"]),
            ("b1_", self.beta1, default["beta1"]),
            ("b2_", self.beta2, default["beta2"]),
            ("every", self.interval or "", ""),
            ("ti", str(self.t_i), str(default["t_i"])),
            ("tf", str(self.t_f), str(default["t_f"])),
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Wrap every target.

        Raises:
            ValueError: the run is too short for its schedule, or no target is adaptive.
        """
        from methods.aflora.handle import AfloraHandle
        from methods.slices import opened

        schedule, targets = self._schedule(plan), self._targets(model)
        opened(model, list(targets))
        surgery.freeze_base(model, plan)
        adapter: dict[str, nn.Parameter] = {}
        adaptive: dict[str, nn.Parameter] = {}
        buffers: dict[str, Tensor] = {}
        groups: list[Group] = []
        modules: dict[str, AfloraLayer] = {}
        for name, trains in targets.items():
            layer = self._wrap(model.get_submodule(name), adaptive=trains)
            folding.replace_module(model, name, layer)
            modules[name] = layer
            own = {f"{name}.{key}": p for key, p in layer.named_parameters(recurse=False)}
            adapter |= own
            buffers |= {f"{name}.{key}": t for key, t in layer.named_buffers(recurse=False)}
            if trains:
                pair = (f"{name}.A", f"{name}.B")
                adaptive |= {key: own[key] for key in pair}
                together = self.granularity == "simultaneous"
                groups += [pair] if together else [(key,) for key in pair]
        window = self._interval if self.rule == "official" else None
        return AfloraHandle(
            model=model,
            adapter=adapter,
            layers=surgery.group_by_layer(model, adapter),
            buffers=buffers,
            modules=modules,
            adaptive=adaptive,
            groups=groups,
            score=FreezingScore(self.sensitivity, self.beta1, self.beta2, window),
            schedule=schedule,
            rule=self.rule,
            num_steps=plan.num_steps,
        )

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add which rule gave the published figures, and what of it is left out."""
        own = "rule paper freezes by eq. 5; the published counts and Fig. 5 are of rule official"
        if self.rule == "official":
            own = "what freezes stands still at once; the released code updates it once more"
        freezes = plan is not None and self._schedule(plan) is not None
        return [*super().remarks(model, plan), *([own] if freezes else [])]

    def obstacles(self) -> Mapping[Need, str]:
        """Return that projections are scored by their gradients."""
        return {"in_backward": "its scores are of the gradients of all projections"}

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the start and the end of freezing, if there is any.

        Raises:
            ValueError: the run is too short for its schedule.
        """
        if self._schedule(plan) is None:
            return [Stage("training")]
        return [Stage("all projections train", 0.0), Stage("all projections frozen", 1.0)]

    def course(self, plan: Plan) -> Course:
        """Return the share of frozen projections by its schedule; at the end all are."""
        schedule = self._schedule(plan)
        if schedule is None:
            return super().course(plan)
        by_data = "aflora freezes as many projections as its schedule's share"
        return course_of(
            lambda done: schedule.share(int(done * plan.num_steps)),
            by_data if self.rule == "official" else "",
        )

    def expected_count(self, model: nn.Module) -> int:
        """Sum r + d_out over the targets, and r (d_in + d_out) over the adaptive ones."""
        from methods.slices import shape_at

        total = 0
        for name, trains in self._targets(model).items():
            d_in, d_out = shape_at(model, name)
            total += self.r + d_out + (self.r * (d_in + d_out) if trains else 0)
        return total

    @property
    def _interval(self) -> int:
        return self.interval or (10 if self.rule == "official" else 1)

    def _wrap(self, base: nn.Module, *, adaptive: bool) -> AfloraLayer:
        from methods.aflora.layer import AfloraLayer

        return AfloraLayer(
            base,
            self.r,
            adaptive=adaptive,
            factor=self.alpha / self.r if self.alpha else 1.0,
            dropout=self.dropout,
            d_initial=self.d_initial,
        )

    def _targets(self, model: nn.Module) -> dict[str, bool]:
        """Return the full name of every target, and whether its A and B train.

        The released code asks whether the layer is not square, which for grouped-query attention
        picks keys and values; here the name decides.

        Raises:
            ValueError: none of the targets is what `adaptive` asks for.
        """
        names = self.target_names(model)
        if self.adaptive in ("both", "none", ()):
            return dict.fromkeys(names, self.adaptive == "both")
        adaptive = set(surgery.target_modules(model, self.adaptive, self.layers))
        # A part of a layer trains where the layer does.
        trains = {n: bool({n, n.rpartition(".")[0]} & adaptive) for n in names}
        if not any(trains.values()):
            raise ValueError(
                f"none of targets {self.targets!r} is in adaptive {self.adaptive!r}, so no "
                "projection would ever train; if that is meant, set adaptive: none"
            )
        return trains

    def _schedule(self, plan: Plan) -> FreezingSchedule | None:
        """Return when projections freeze; None: never, or none is adaptive."""
        if self.freezing == "none" or self.adaptive in ("none", ()):
            return None
        start, last = self.t_i.steps(plan), self.t_f.steps(plan)
        if start + last >= plan.num_steps:
            raise ValueError(
                f"t_i {self.t_i} ({start} steps) and t_f {self.t_f} ({last} steps) leave none of "
                f"the run's {plan.num_steps} steps to freeze in, and the paper's eq. 5 is "
                "undefined. Train for more epochs, or shorten them: the released GSM8K code has "
                "t_i and t_f of {fraction: 0.3} with freezing: quadratic"
            )
        return FreezingSchedule(start, plan.num_steps - last, self._interval, self.freezing)
