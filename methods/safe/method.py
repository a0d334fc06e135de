"""SAFE (selective adapter freezing): adapters that matter little freeze early, lowest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from methods.base import Course, Stage
from methods.common.over import Over, OverMethod, attach_base, check_base
from methods.common.schedules import Span
from methods.plan import course_of
from methods.safe.options import CacheLimits, FeatureSource, Quantile
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan
    from methods.safe.rules import Rules

# Shares of frozen layers that are forecast; SAFE reports 11/12 as the most that froze on average.
STAGES = (0.0, 0.25, 0.5, 0.75, 11 / 12)


def _switch(value: Any) -> Any:
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class Safe(OverMethod):
    """Freeze the adapters of layers whose features hardly differ from the base model's.

    Unit: all adapter tensors of one transformer layer. Importance of unit i after an epoch:
    1 - CKA(features of layer i, the same layer's features in the base model) over a fixed probe
    set. Warm-up lasts until no unit's importance changed by more than `tolerance` from one epoch
    to the next; then, after every epoch t, units with an importance below tau_t freeze, where
    tau_t = tau (1 - (1 - (t - t_w) / (T - t_w - t_f))^3). Frozen adapters go on working. The last
    t_f epochs freeze nothing more.

    The paper's text leaves gaps. Assumed: `t_f` (0.5 T), `probe` (512 examples), `activation`
    (`model`). Neither tau nor a default for it is published: a number, or the share of the units
    that shall be frozen at T - t_f (0.51 is the published mean). For a share the threshold is taken
    anew after every epoch, from the importances then: they grow until the learning rate is low, and
    tau's quantile of t_w froze 2 of 6 where 3 were promised (measured).

    For the same reason the warm-up may not end before T - t_f, and then nothing freezes: SAFE is
    its base method. A run in which this, or any other share than the promised one, came out says
    so; `max_warmup` ends the warm-up.

    Not in the paper, all off by default: `prefix`, `cache_prefix` and `merge`.
    """

    name: ClassVar[str] = "safe"

    over: Over = Field(description="the adapters: a method with its options")
    tau: float | Quantile = Field(
        description="last threshold: a number; or {quantile: 0.51}, the share that freezes"
    )
    t_f: Span = Field(Span(fraction=0.5), description="last epochs, which freeze nothing (assumed)")
    tolerance: PositiveFloat = Field(0.05, description="relative change that ends the warm-up")
    patience: PositiveInt = Field(1, description="comparisons in a row within the tolerance")
    max_warmup: PositiveInt | None = Field(None, description="epochs; null: no cap")
    max_frozen: float = Field(1.0, ge=0, le=1, description="largest share of units to freeze")
    activation: FeatureSource = Field(
        "model",
        description="compare with the base model's features, or with the same layer's on the same "
        "input without its adapter",
    )
    probe: PositiveInt = Field(512, description="training examples that importance is measured on")
    freeze_in_final: bool = Field(False, description="freeze in the last t_f epochs, too")
    prefix: bool = Field(
        False,
        description="freeze only a prefix: at most as many units as below the threshold, and at "
        "most that many thresholds of importance in sum",
    )
    cache_prefix: Annotated[CacheLimits | None, BeforeValidator(_switch)] = Field(
        None,
        description="keep a frozen prefix's output and skip its forward pass; true or limits",
        json_schema_extra={"anyOf": [{"type": "boolean"}, CacheLimits.model_json_schema()]},
    )
    merge: bool = Field(False, description="fold frozen adapters into the base weights")

    @property
    def revision(self) -> int:
        """Return 1 more for a quantile: until November 2026 it was one of epoch t_w alone."""
        return super().revision + isinstance(self.tau, Quantile)

    @field_validator("tau")
    @classmethod
    def _not_negative(cls, value: float | Quantile) -> float | Quantile:
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError("an importance is between 0 and 1")
        return value

    @model_validator(mode="after")
    def _check_base(self) -> Safe:
        needs: dict[Need, str] = {"units": "safe"}
        if self.activation == "local":
            needs["skip"] = "safe with activation: local"
        if self.merge:
            needs["fold"] = "safe with merge: true"
        if self.cache_prefix:
            needs["cache"] = "safe with cache_prefix"
        check_base(self.name, self.over, needs)
        return self

    @property
    def label(self) -> str:
        """Return `safe-lora-r4-q0.51`, with the options that are not the defaults."""
        quantile = isinstance(self.tau, Quantile)
        options = type(self).model_fields
        parts: list[tuple[str, object, object]] = [
            ("", self.base.label, None),
            ("q" if quantile else "tau", getattr(self.tau, "quantile", self.tau), None),
            ("final", str(self.t_f), str(options["t_f"].default)),
        ]
        for name in ("tolerance", "patience", "max_warmup", "max_frozen", "activation", "probe"):
            parts.append((name, getattr(self, name), options[name].default or "-"))
        flags = ("freeze_in_final", "prefix", "merge")
        parts += [("", name, None) for name in flags if getattr(self, name)]
        parts += [("", f"cache_{self.cache_prefix.on}", None)] if self.cache_prefix else []
        return label_of(self.name, [p for p in parts if p[1] is not None])

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Attach the base method and watch its units."""
        from methods.safe.handle import SafeHandle

        self._check(plan)
        base = attach_base(self.base, model, plan, self.name)
        if self.activation == "local":
            base.prepare_to_skip()
        if self.merge:
            base.prepare_to_fold()
        units = sum(map(bool, base.units()))
        return SafeHandle.around(
            base,
            rules=self._rules(plan, units),
            features=self.activation,
            probe_size=self.probe,
            cache_limits=self.cache_prefix,
            merge=self.merge,
            seed=plan.seed,
        )

    def _rules(self, plan: Plan, num_units: int) -> Rules:
        from methods.safe.rules import Rules

        return Rules(
            num_epochs=plan.num_epochs,
            final=self.t_f.whole_epochs(plan),
            tau=self.tau if isinstance(self.tau, float) else None,
            quantile=None if isinstance(self.tau, float) else self.tau.quantile,
            tolerance=self.tolerance,
            patience=self.patience,
            max_warmup=self.max_warmup,
            max_units=int(self.max_frozen * num_units),
            in_final=self.freeze_in_final,
            prefix=self.prefix,
        )

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the shares of frozen layers, as prefixes, that are worth a forecast."""
        self._check(plan)
        named = {share: f"{100 * share:.4g} % frozen" for share in STAGES}
        return [Stage(named[share] if share else "warm-up", share) for share in STAGES]

    def course(self, plan: Plan) -> Course:
        """Return a share of frozen layers that follows the threshold's ramp, after each epoch.

        The data decide how long the warm-up is, here the shortest, and, but for a quantile, how
        many layers freeze at last, here half of those that may.
        """
        self._check(plan)
        rules = self._rules(plan, 0)
        rules.warm_up_ended = min(1 + self.patience, self.max_warmup or plan.num_epochs)
        quantile = isinstance(self.tau, Quantile)
        share = self.tau.quantile if isinstance(self.tau, Quantile) else 0.5
        share = min(self.max_frozen, share) if quantile else share * self.max_frozen
        epochs = plan.num_steps / plan.steps_per_epoch

        def frozen(done: float) -> float:
            epoch = int(done * epochs)  # those that are over
            last = epoch if self.freeze_in_final else min(epoch, rules.last)
            return share * rules.ramp(max(last, rules.warm_up_ended or 0))

        return course_of(
            frozen,
            f"safe freezes evenly from epoch {rules.warm_up_ended} on, at last {100 * share:.3g} % "
            "of the layers, the lowest ones",
        )

    def obstacles(self) -> Mapping[Need, str]:
        """Add what frozen adapters are no more: where they were, or not in what is cached."""
        own: dict[Need, str] = {"cache": "its own steps may skip what another one would cache"}
        if self.merge:
            own["skip"] = "adapters that it merged can no longer be left out"
        if self.cache_prefix:
            own["skip"] = "the outputs that it caches have the adapters in them"
            own["parallel"] = "cache_prefix: a rank sees other examples in every epoch"
        return {**own, **super().obstacles()}

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add what the options beyond the paper do beside."""
        effects = {
            "prefix freezes from below, though layers above may matter less, and may stay under "
            "its share": self.prefix,
            "merge folds frozen adapters into the base weights, without their dropout from then "
            "on": self.merge,
            "cache_prefix keeps what the frozen prefix puts out, with its dropout off from then "
            "on": self.cache_prefix,
            "freeze_in_final freezes in the last epochs too, which the paper leaves alone":
                self.freeze_in_final,
        }  # fmt: skip
        below = super().remarks(model, plan)
        return [*below, *(text for text, given in effects.items() if given)]

    def _check(self, plan: Plan) -> None:
        """Refuse a run in which nothing could freeze or that could not go back.

        The first comparison is after epoch 2, and the threshold is 0 at the warm-up's end.
        """
        last = plan.num_epochs - self.t_f.whole_epochs(plan)
        first = (1 if self.max_warmup == 1 else 1 + self.patience) + 1
        if last < first and not self.freeze_in_final:
            raise ValueError(
                f"safe freezes from epoch {first} at the earliest, and of this run's "
                f"{plan.num_epochs} epochs the last {plan.num_epochs - last} (t_f {self.t_f}) "
                "freeze nothing; train longer, or give another t_f such as {epochs: 1}"
            )
        if self.merge and plan.keep_best:
            raise ValueError(
                "safe with merge cannot go back to the best epoch, whose adapters may be merged "
                "by then; set train.checkpoint: last"
            )
