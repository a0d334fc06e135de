"""AFLoRA at work: scores projections after every backward pass and freezes them one by one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from methods import surgery
from methods.aflora.score import FreezingScore, Group, Schedule, mean_trainable
from methods.base import Change, Handle
from methods.common import folding

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.aflora.layer import AfloraLayer
    from methods.base import Stage


@dataclass(kw_only=True)
class AfloraHandle(Handle):
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
    schedule: Schedule | None
    rule: Literal["paper", "official"]
    num_steps: int
    frozen_at: dict[str, int] = field(default_factory=dict)
    can_skip: bool = True

    def __post_init__(self) -> None:
        """Start to score what may freeze, and note sizes: `fold` takes tensors away."""
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

    def state_dict(self) -> dict[str, Any]:
        """Return the averages of what still trains, and the steps of freezing."""
        return {**self.score.tensors(), "frozen_at": dict(self.frozen_at)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; what was frozen has no averages any more."""
        self.frozen_at = dict(state["frozen_at"])
        self.score.load(state)

    def skip(self, layers: Collection[int] | None) -> None:
        """Run only the base layers where adapters are left out."""
        for _, module, layer in self._modules():
            module.skipped = layers is None or layer in layers

    def prepare_to_fold(self) -> None:
        """Check that every adapter sits on a weight of plain numbers that it has for itself."""
        folding.refuse_unfoldable(self.model, [name for name, *_ in self._modules()])

    def fold(self, layers: Collection[int]) -> None:
        """Put back the base layers, with what the adapters add in their weights."""
        found = [(name, module) for name, module, layer in self._modules() if layer in layers]
        gone: set[int] = set()
        for name, module in found:
            own = chain(module.parameters(recurse=False), module.buffers(recurse=False))
            gone |= {id(tensor) for tensor in own}
            folding.replace_module(self.model, name, module.merged_base())
        for name, parameter in self.adaptive.items():
            if id(parameter) in gone:
                self.score.drop(name)
        self.adaptive = {n: p for n, p in self.adaptive.items() if id(p) not in gone}
        self.forget(gone)

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold every layer; the model has its original structure again."""
        self.prepare_to_fold()
        self.fold(range(len(surgery.layer_names(self.model))))
        return model

    def _modules(self) -> Iterator[tuple[str, AfloraLayer, int | None]]:
        """Yield (name, module, transformer layer) of every adapter."""
        from methods.aflora.layer import AfloraLayer

        names = surgery.layer_names(self.model)
        for name, module in self.model.named_modules():
            if isinstance(module, AfloraLayer):
                yield name, module, surgery.layer_of(name, names)
