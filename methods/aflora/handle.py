"""AFLoRA at work: scores projections after every backward pass and freezes them one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from methods.aflora.layer import AfloraLayer
from methods.aflora.score import FreezingSchedule, FreezingScore, Group, mean_trainable
from methods.base import Change
from methods.common.low_rank import LowRankHandle

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Stage


@dataclass(kw_only=True)
class AfloraHandle(LowRankHandle[AfloraLayer]):
    """A model with AFLoRA's layers in it.

    Attributes:
        adaptive: the projections that train at first, by name.
        groups: their names, by what freezes together.
        score: keeps averages of those that may freeze and have not.
        schedule: None: nothing freezes.
        rule: which of them freeze at a selection.
        num_steps: optimizer steps of the run.
        frozen_at: the step (0-based) in which a projection froze; it had so many updates.
    """

    adaptive: dict[str, nn.Parameter]
    groups: list[Group]
    score: FreezingScore
    schedule: FreezingSchedule | None
    rule: Literal["paper", "official"]
    num_steps: int
    frozen_at: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start to score what may freeze, and note sizes: `fold` takes tensors away."""
        super().__post_init__()
        self._total = sum(parameter.numel() for parameter in self.parameters())
        self._sizes = {name: parameter.numel() for name, parameter in self.adaptive.items()}
        for name, parameter in self.adaptive.items() if self.schedule else ():
            self.score.add(name, parameter)

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the fixed projections, and the averages of those that still train."""
        return {**self.buffers, **self.score.tensors()}

    def on_gradients(self, step: int) -> Change | None:
        """Update the scores; where this step is one to select, freeze."""
        for name in self.score.names():
            parameter = self.adaptive[name]
            if not parameter.requires_grad:  # another method froze it
                self._freeze(name, step)
            elif parameter.grad is not None:
                self.score.update(name, parameter, parameter.grad, step)
        if self.schedule is None or not self.score.names() or not self.schedule.selects(step):
            return None
        chosen = [name for group in self._select(step) for name in group]
        for name in chosen:
            self._freeze(name, step)
        return Change(frozen=tuple(self.adaptive[name] for name in chosen))

    def _select(self, step: int) -> list[Group]:
        share = self.schedule.share(step) if self.schedule else 0.0
        left = self._left()
        if self.rule == "official":
            return self.score.below_threshold(left, share)
        gone = len(self.groups) - len(left)
        return self.score.lowest(left, math.floor(share * len(self.groups)) - gone)

    def _left(self) -> list[Group]:
        """Return the groups that still train, without tensors that another method froze."""
        scored = set(self.score.names())
        left = (tuple(name for name in group if name in scored) for group in self.groups)
        return [group for group in left if group]

    def _freeze(self, name: str, step: int) -> None:
        self.frozen_at[name] = step
        self.score.drop(name)

    def force(self, stage: Stage) -> Change:
        """Freeze the stage's share of the groups, those of the lowest layers first."""
        left = self._left()
        gone = len(self.groups) - len(left)
        count = max(0, math.floor(stage.fraction * len(self.groups)) - gone)
        chosen = [name for group in left[:count] for name in group]
        for name in chosen:
            self.score.drop(name)
        return Change(frozen=tuple(self.adaptive[name] for name in chosen))

    def report(self) -> dict[str, Any]:
        """Return when each projection froze, and the mean of parameters that a step updates.

        Of what a method around this one froze, only projections are known here.
        """
        mean = mean_trainable(self._total, self._sizes, self.frozen_at, self.num_steps)
        return {
            "adaptive": len(self._sizes),
            "frozen_at": dict(self.frozen_at),
            "mean_updated_parameters": mean,
        }

    def shortfalls(self) -> list[str]:
        """Say that projections train at the end of a run whose schedule freezes all of them."""
        left = len(self.score.names())
        if not left or self.schedule is None:
            return []
        return [
            f"AFLoRA froze {len(self.frozen_at)} of {len(self._sizes)} projections, where its "
            f"schedule freezes all by step {self.schedule.end} of {self.num_steps}; give a longer "
            "t_f, or a smaller interval"
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the averages of what still trains, and the steps of freezing."""
        return {**self.score.tensors(), "frozen_at": dict(self.frozen_at)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; what was frozen has no averages any more."""
        self.frozen_at = dict(state["frozen_at"])
        self.score.load(state)

    def note_folded(self, name: str, module: AfloraLayer) -> None:
        """Score its projections no more."""
        for key in (f"{name}.A", f"{name}.B"):
            if self.adaptive.pop(key, None) is not None:
                self.score.drop(key)
