"""The state of a training run: what trains, with what, and how far it has come."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.training.optim import (
    apply_change,
    load_optimizer_state,
    optimizer_state,
    undecayed_parameters,
)
from harness.training.ranks import digest_of
from harness.training.saved import Saved
from harness.training.step import Step
from methods.base import Change, Resized

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR

    from harness.record import Compacted
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Family
    from harness.training.replica import Replica
    from methods.base import Handle


@dataclass
class Result:
    """What a training run found out."""

    steps: int = 0
    final_loss: float = math.nan
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    trainable_sum: int = 0  # adapter parameters that a step updates, summed over steps
    updates: int = 0  # of the optimizer; inside of a step, it may be one ahead of `steps`
    frozen_at: dict[str, int] = field(default_factory=dict)  # updates when a tensor froze
    resumed_at: list[int] = field(default_factory=list)
    compacted: Compacted | None = None


class TrainState:
    """All that a step changes, beside the meter and the clock.

    Attributes:
        handle: the method on its model.
        head: parameters of head and pooler that train.
        optimizer: over everything that trains.
        schedule: of the learning rate; None where one step is looked at for itself.
        step: runs one optimizer step and tells this state of changes.
        result: what was found out so far.
        trainable: adapter parameters that train now.
        names: every tensor that has trained so far, as the model calls it.
        frozen: those that froze, as they were called when they began to train.
        added: those that began to train on the way.
        best: score and tensors of the best epoch so far.
        loss_steps: steps in the sum of losses since someone last looked.
        phase_is_new: the next step begins a phase.
    """

    def __init__(
        self,
        handle: Handle,
        head: list[nn.Parameter],
        optimizer: Optimizer,
        settings: TrainSettings,
        device: torch.device,
        family: Family,
        foreach: bool | None = None,
        replica: Replica | None = None,
    ) -> None:
        self.handle, self.head, self.optimizer = handle, head, optimizer
        self.schedule: LambdaLR | None = None
        self.step = Step(handle, optimizer, settings, device, family, self, foreach, replica)
        self.result = Result()
        # Names by tensor, as attached: what a method freezes it may take out of the model at once.
        self._names = {id(p): n for n, p in self.model.named_parameters() if p.requires_grad}
        own = {id(p) for p in head}
        self._adapter = [name for tensor, name in self._names.items() if tensor not in own]
        self.names = set(self._names.values())
        self.frozen: list[str] = []
        self.added: list[str] = []
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.loss_steps = 0
        self.phase_is_new = True
        self.trainable = self._count()
        self._chosen: int | None = None

    @property
    def model(self) -> nn.Module:
        """The model that the handle edited."""
        return self.handle.model

    # -- changes ---------------------------------------------------------------------------------

    def apply(self, change: Change | None) -> None:
        """Make optimizer and account follow what a method announced."""
        if not change:
            return
        plain = undecayed_parameters(self.model, self.handle) if change.added else ()
        apply_change(self.optimizer, change, plain)
        self.step.replica.changed()
        self._chosen = None
        for resized in change.resized:
            if id(resized.old) in self._names:
                self._names[id(resized.new)] = self._names.pop(id(resized.old))
        if change.added:
            called = {id(p): name for name, p in self.model.named_parameters()}
            self._names |= {id(p): called[id(p)] for p in change.added}
            self.added += [called[id(p)] for p in change.added]
            for p in change.added:
                self.result.frozen_at.pop(called[id(p)], None)
        if any(id(p) not in self._names for p in change.frozen):
            raise ValueError("the method froze a tensor that never trained")
        # Two methods, one around the other, may both freeze a tensor.
        frozen = [self._names[id(p)] for p in change.frozen]
        self.frozen = list(dict.fromkeys((*self.frozen, *frozen)))
        for name in frozen:
            self.result.frozen_at.setdefault(name, self.result.updates)
        self.names |= {n for n, p in self.model.named_parameters() if p.requires_grad}
        self.trainable = self._count()

    @property
    def chosen(self) -> int:
        """A number for what trains now: that of another rank must be the same."""
        if self._chosen is None:
            named = self.model.named_parameters()
            self._chosen = digest_of([(n, p.shape) for n, p in named if p.requires_grad])
        return self._chosen

    def updated(self) -> None:
        """Count what the optimizer has moved."""
        self.result.trainable_sum += self.trainable
        self.result.updates += 1

    def freezing(self) -> dict[str, int | None]:
        """Return after how many updates each tensor froze; None: it trained to the end.

        In the order of the model; head and pooler only where they froze; empty if nothing did.
        """
        at = self.result.frozen_at
        names = dict.fromkeys((*self._adapter, *self.added, *at) if at else ())
        return {name: at.get(name) for name in names}

    def _count(self) -> int:
        return sum(p.numel() for p in self.handle.parameters() if p.requires_grad)

    # -- tensors ---------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Tensor]:
        """Copy to the host every tensor that has trained so far."""
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.model.named_parameters()
            if name in self.names
        }

    @torch.no_grad()
    def restore(self, values: dict[str, Tensor]) -> None:
        """Give tensors of the model the values of a snapshot."""
        named = dict(self.model.named_parameters())
        for name, value in values.items():
            named[name].copy_(value)

    # -- storage ---------------------------------------------------------------------------------

    def state_dict(self) -> Saved:
        """Return all that the rest of the run depends on."""
        return {
            "result": asdict(self.result),
            "account": {
                "names": sorted(self.names), "frozen": self.frozen, "added": self.added,
                "best": self.best, "loss_steps": self.loss_steps,
                "phase_is_new": self.phase_is_new,
            },
            "parameters": self.snapshot(),
            "optimizer": optimizer_state(self.optimizer, self.model),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "scaler": self.step.scaler.state_dict(),
            "handle": self.handle.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, saved: Saved) -> None:
        """Go on from a stored state, on a model as attached whose method has seen its probe.

        The order matters: the method does again what it did to the model's structure, the optimizer
        follows, and then every tensor that is left gets its value.
        """
        self._repeat_changes(saved["handle"], saved["account"])
        for name, value in saved["result"].items():
            setattr(self.result, name, value)
        for name, value in saved["account"].items():
            setattr(self, name, value)
        self.names = set(self.names)
        self.restore(saved["parameters"])
        load_optimizer_state(saved["optimizer"], self.optimizer, self.model)
        if self.schedule:
            self.schedule.load_state_dict(saved["schedule"])
        self.step.scaler.load_state_dict(saved["scaler"])
        self.trainable = self._count()

    def _repeat_changes(self, handle: Saved, account: Saved) -> None:
        attached = dict(self.model.named_parameters())
        self.handle.load_state_dict(handle)  # may take modules out of the model, or shrink them
        now = dict(self.model.named_parameters())
        self.apply(Change(resized=tuple(
            Resized(old, now[name])
            for name, old in attached.items()
            if now.get(name, old) is not old
        )))  # fmt: skip
        every = {**attached, **now}  # what came and went on the way is in neither
        added = tuple(every[name] for name in account["added"] if name in every)
        self.apply(Change(added=added))
        self.apply(Change(frozen=tuple(every[name] for name in account["frozen"] if name in every)))
