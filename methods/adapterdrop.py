"""AdapterDrop (Rücklé et al., 2021): steps run without the adapters of the lowest layers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, model_validator

from methods.base import Course, Handle, Method, Stage
from methods.common.in_place import InPlaceHandle
from methods.common.over import Over, OverHandle, OverMethod, attach_base, base_method, check_base
from methods.wording import label_of

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Change, Need, Plan


class AdapterDrop(OverMethod):
    """Leave adapters of low layers out: fewer for each step (robust), or some for good.

    `robust` draws n uniformly from {0, .., L-1} at every step and runs without the adapters of the
    n lowest layers: no output of theirs, no gradient, and back-propagation ends above them. The
    mode `subset` leaves out each layer with probability 1/2 instead, which hardly shortens
    anything. `specialised` never puts adapters into the lowest n layers.

    The original draws up to n = 11 of 12 layers. SAFE says "randomly excludes adapters" and counts
    0.752 of LoRA's FLOPs, which only a prefix explains ((1 + 1/2) / 2 = 0.75). A run's peak memory
    is the base method's: the step with n = 0 has it.
    """

    name: ClassVar[str] = "adapterdrop"

    over: Over = Field(description="the adapters: a method with its options")
    mode: Literal["prefix", "subset", "specialised"] = "prefix"
    layers_dropped: NonNegativeInt = Field(
        0, description="lowest layers without adapters: in training (specialised) and evaluation"
    )

    @model_validator(mode="after")
    def _check(self) -> AdapterDrop:
        if self.mode == "specialised":
            if not self.layers_dropped:
                raise ValueError("mode specialised wants layers_dropped, such as 5")
            if "layers" not in type(base_method(self.over)).model_fields:
                raise ValueError(f"mode specialised: {next(iter(self.over))} has no option layers")
            check_base(self.name, self.over, {"units": "adapterdrop"})
        else:
            check_base(self.name, self.over, dict.fromkeys(("units", "skip"), "adapterdrop"))
        return self

    @property
    def label(self) -> str:
        """Return `adapterdrop-lora-r4`, with the options that are not the defaults."""
        parts = [
            ("", base_method(self.over).label, None),
            ("", self.mode, "prefix"),
            ("n", self.layers_dropped, 0),
        ]
        return label_of(self.name, parts)

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Attach the base method, without the lowest layers where they are dropped for good."""
        from methods import surgery

        count = len(surgery.layer_names(model))
        if self.layers_dropped > count:
            raise ValueError(f"layers_dropped {self.layers_dropped}: this model has {count} layers")
        base = attach_base(self._base(count), model, plan, self.name)
        if self.mode == "specialised":
            return base
        base.prepare_to_skip()
        return DropHandle.around(
            base,
            seed=plan.seed,
            subset=self.mode == "subset",
            in_evaluation=tuple(range(self.layers_dropped)),
        )

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the largest step and one with half of the layers' adapters dropped."""
        if self.mode != "prefix":
            return super().stages(plan)
        return [Stage("none dropped", 0.0), Stage("half dropped", 0.5)]

    def course(self, plan: Plan) -> Course:
        """Return the mean step of `prefix`, which leaves out 0 to all but one layer alike."""
        return Course((0.5,)) if self.mode == "prefix" else super().course(plan)

    def obstacles(self) -> Mapping[Need, str]:
        """Add that steps differ, where they do."""
        own: dict[Need, str] = {
            "cache": "its steps differ in their forward pass",
            "parallel": "a step leaves adapters out, and ranks wait for a gradient of each",
        }
        return {**(own if self.mode != "specialised" else {}), **super().obstacles()}

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Add what evaluation runs on."""
        below = super().remarks(model, plan)
        if not self.layers_dropped:
            return below
        return [
            *below,
            f"scores are without the adapters of the lowest {self.layers_dropped} layers",
        ]

    def expected_count(self, model: nn.Module) -> int | None:
        """Return the base method's count."""
        from methods import surgery

        return self._base(len(surgery.layer_names(model))).expected_count(model)

    def _base(self, num_layers: int) -> Method:
        """Return the base method, above the dropped layers where they are so for good."""
        if self.mode != "specialised":
            return base_method(self.over)
        return base_method(self.over, layers=(self.layers_dropped, num_layers))


@dataclass(kw_only=True)
class DropHandle(OverHandle):
    """Draws before every step which layers run without their adapters.

    Attributes:
        seed: of the draws; a step's draw depends on it and the step alone, so that every rank
            and a resumed run draw alike.
        subset: draw a subset, not a prefix.
        in_evaluation: layers without adapters in evaluation.
    """

    seed: int
    subset: bool
    in_evaluation: tuple[int, ...] = ()
    _forced: Hashable = None  # what every step leaves out, in place of a draw
    _drawn: tuple[int, int] = (0, 0)  # steps, adapters that were in, summed

    def variant(self, step: int) -> Hashable:
        """Return the layers that `step` leaves out."""
        if self._forced is not None:
            return self._forced
        random = Random(f"{self.seed}/{step}")
        count = len(self.base.units())
        if self.subset:
            return tuple(index for index in range(count) if random.random() < 0.5)
        return tuple(range(random.randrange(count)))

    def pretend(self, variant: Any) -> None:
        """Leave these layers' adapters out until told otherwise."""
        self.base.skip(() if variant is None else variant)

    def before_forward(self, step: int) -> None:
        """Draw, and leave out."""
        dropped: Any = self.variant(step)
        self.pretend(dropped)
        steps, total = self._drawn
        self._drawn = (steps + 1, total + len(self.base.units()) - len(dropped))
        super().before_forward(step)

    def on_step(self, step: int) -> Change | None:
        """Bring all back after backward, which may have run parts of the forward pass again."""
        self.pretend(None)
        return super().on_step(step)

    def evaluating(self, on: bool) -> None:
        """Leave out what evaluation does without."""
        self.base.skip(self.in_evaluation if on else ())
        super().evaluating(on)

    def finish(self, model: nn.Module) -> nn.Module:
        """Merge every adapter that evaluation uses and that can be; the others stay."""
        if not self.in_evaluation:
            return super().finish(model)
        if not isinstance(self.base, InPlaceHandle):  # whose tensors are the model's own
            try:
                self.base.prepare_to_fold()
            except ValueError:
                pass  # bottlenecks have no merged form
            else:
                self.fold([i for i in range(len(self.units())) if i not in self.in_evaluation])
        self.base.skip(self.in_evaluation)
        return model

    def force(self, stage: Stage) -> Change:
        """Leave out the adapters of the lowest share of the layers in every step."""
        self._forced = tuple(range(int(stage.fraction * len(self.units()))))
        return super().force(stage)

    def report(self) -> dict[str, Any]:
        """Return how many layers had their adapters in a step, on average."""
        steps, total = self._drawn
        return {**super().report(), "layers_per_step": total / steps if steps else None}

    def shortfalls(self) -> list[str]:
        """Also say that no step left anything out."""
        steps, total = self._drawn
        if not steps or total < steps * len(self.units()):
            return super().shortfalls()
        none = f"AdapterDrop left no adapter out in any of {steps} steps: it was its base method"
        return [*super().shortfalls(), none]

    def state_dict(self) -> dict[str, Any]:
        """Return the counters."""
        return {**super().state_dict(), "drawn": list(self._drawn)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counters."""
        super().load_state_dict(state)
        steps, total = state["drawn"]
        self._drawn = (steps, total)
