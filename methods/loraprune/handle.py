"""LoRAPrune at work: scores groups after every backward pass, masks some, takes them out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from methods.base import Change
from methods.common.over import OverHandle, joined
from methods.loraprune.compaction import keep_groups
from methods.loraprune.masks import MaskedSet, Metric, importance

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

    from methods.base import Resized, Stage
    from methods.loraprune.schedule import PruningSchedule


@dataclass(kw_only=True)
class LoraPruneHandle(OverHandle):
    """LoRA, with masks behind its layers.

    Attributes:
        sets: heads and channels of every layer, lowest first; protected ones have no mask.
        schedule: when and how many are masked.
        metric: what importance is made of.
        ema: share that a moving average keeps in a step.
        compact_after: numbers of steps after which what is masked is taken out.
        history: (step, share of groups gone), at every percent or so.
    """

    sets: list[MaskedSet]
    schedule: PruningSchedule
    metric: Metric
    ema: float
    compact_after: frozenset[int]
    history: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the masks behind the layers whose rows they mask."""
        self.can_skip = False  # without LoRA there would still be masks
        self._last = self.schedule.last()
        self._hooks: list[RemovableHandle] = [
            self.model.get_submodule(member.name).register_forward_hook(unit.hook(member))
            for unit in self.sets
            if unit.mask is not None
            for member in unit.groups.members
            if member.dim == 0 and member.scored
        ]

    def overhead(self) -> Mapping[str, Tensor]:
        """Return masks and moving averages."""
        return {**super().overhead(), **self._tensors()}

    def on_gradients(self, step: int) -> Change | None:
        """Update the averages; where this step is one to select, mask more groups."""
        scored = [unit for unit in self.sets if unit.average is not None]
        if scored:
            self._observe(scored)
            if self.schedule.selects(step):
                ratio = self.schedule.ratio(step)
                for unit in scored:
                    unit.mask_until(math.floor(ratio * unit.groups.count))
                self._note(step)
            if self._last is None or step >= self._last:
                for unit in scored:  # nothing will ask for them any more
                    unit.average = None
        return super().on_gradients(step)

    def on_step(self, step: int) -> Change | None:
        """Take out what is masked, where this is asked for."""
        own = self.compact() if step + 1 in self.compact_after else None
        return joined(super().on_step(step), own)

    def compact(self) -> Change | None:
        """Take out what is masked: rows, columns and biases, and what LoRA has for them.

        If nothing more will be masked, the masks go too.
        """
        resized: list[Resized] = []
        for unit in self.sets:
            if unit.mask is not None and unit.masked:
                resized += self._keep(unit, unit.mask.nonzero().flatten())
            if unit.average is None:
                unit.mask = None
        return Change(resized=tuple(resized), reshaped=True) if resized else None

    def finish(self, model: nn.Module) -> nn.Module:
        """Take out what is masked, merge LoRA, and return the plain, smaller model."""
        self.compact()
        for hook in self._hooks:
            hook.remove()
        return super().finish(model)

    def _observe(self, units: list[MaskedSet]) -> None:
        """Update the averages with this step's gradients, unless one importance is not finite."""
        importances = []
        for unit in units:
            new = importance(self.model, unit.groups, len(unit.left), self.metric)
            if new is not None:  # another method may have frozen the layer
                importances.append((unit, new))
        if not importances:
            return
        usable = torch.stack([new.isfinite().all() for _, new in importances]).all()
        for unit, new in importances:
            assert unit.average is not None
            moved = self.ema * unit.average + (1 - self.ema) * new
            unit.average.copy_(torch.where(usable, moved, unit.average))

    def _keep(self, unit: MaskedSet, kept: Tensor) -> list[Resized]:
        """Take all groups of a set but `kept`, indices among those left, out of the model."""
        resized = keep_groups(self.model, unit.groups, len(unit.left), kept)
        unit.keep(kept)
        new = {id(pair.old): pair.new for pair in resized}
        # In place: handles around this one and below it hold the same lists.
        for name, parameter in self.adapter.items():
            self.adapter[name] = new.get(id(parameter), parameter)
        for tensors in self.layers:
            tensors[:] = [new.get(id(parameter), parameter) for parameter in tensors]
        return resized

    def _note(self, step: int) -> None:
        share = self._share()
        if share - (self.history[-1][1] if self.history else 0.0) >= 0.01:
            self.history.append((step, share))

    def _share(self) -> float:
        return sum(unit.gone for unit in self.sets) / sum(unit.groups.count for unit in self.sets)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {}
        for unit in self.sets:
            if unit.mask is not None:
                tensors[f"mask.{unit.groups.name}"] = unit.mask
            if unit.average is not None:
                tensors[f"importance.{unit.groups.name}"] = unit.average
        return tensors

    # -- forecast, record, resume ----------------------------------------------------------------

    def force(self, stage: Stage) -> Change:
        """Take out the first groups of every layer that is not protected, up to a share.

        Behind a stage with a share above 0 there are no masks and no averages any more.
        """
        base = super().force(stage)
        if not stage.fraction:
            return base
        resized: list[Resized] = []
        for unit in self.sets:
            if unit.mask is not None:
                gone = min(int(stage.fraction * unit.groups.count + 1e-9), unit.groups.count - 1)
                kept = torch.arange(gone, unit.groups.count, device=unit.left.device)
                resized += self._keep(unit, kept)
            unit.mask = unit.average = None
        return joined(base, Change(resized=tuple(resized), reshaped=True)) or Change()

    def report(self) -> dict[str, Any]:
        """Return the share of all groups that is gone, what each layer keeps, and how it grew."""
        kept: dict[str, list[int]] = {"heads": [], "channels": []}
        for unit in self.sets:
            kept[unit.groups.kind].append(len(unit.left) - unit.masked)
        return {
            **super().report(), "ratio": self._share(), **kept,
            "history": [list(entry) for entry in self.history],
        }  # fmt: skip

    def shortfalls(self) -> list[str]:
        """Also say that fewer groups went than the ratio says."""
        live = [unit for unit in self.sets if unit.live]
        wanted = sum(math.floor(self.schedule.final * unit.groups.count + 1e-9) for unit in live)
        gone = sum(unit.gone for unit in live)
        if gone >= wanted:
            return super().shortfalls()
        last = self.schedule.last() or 0
        return [
            *super().shortfalls(),
            f"LoRAPrune took out {gone} heads and channels of the layers that it prunes, not the "
            f"{wanted} of ratio {self.schedule.final:g}: its last selection, in step {last}, asked "
            f"for a share of {self.schedule.ratio(last):.4f}",
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return masks, averages, and what is left of every set in the original numbering."""
        left = {f"left.{unit.groups.name}": unit.left for unit in self.sets}
        history = [list(entry) for entry in self.history]
        return {**super().state_dict(), **self._tensors(), **left, "history": history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take out what was taken out, on a model as attached, and restore the rest."""
        super().load_state_dict(state)
        self.history = [(step, share) for step, share in state["history"]]
        for unit in self.sets:
            name = unit.groups.name
            left = state[f"left.{name}"]
            if len(left) < len(unit.left):
                self._keep(unit, left)
            unit.mask = _restored(unit.mask, state.get(f"mask.{name}"))
            unit.average = _restored(unit.average, state.get(f"importance.{name}"))
            unit.masked = 0 if unit.mask is None else int((~unit.mask).sum())

    def prepare_to_skip(self) -> None:
        """Refuse: what LoRA leaves out of a pass is not what a mask leaves out.

        Raises:
            ValueError: always.
        """
        raise ValueError("loraprune's layers cannot be left out: their masks would stay")

    def prepare_to_fold(self) -> None:
        """Refuse: a layer's importance needs its LoRA until pruning is over.

        Raises:
            ValueError: always.
        """
        raise ValueError("loraprune's adapters cannot be merged before the end of the run")


def _restored(old: Tensor | None, value: Tensor | None) -> Tensor | None:
    if old is None or value is None:
        return None
    return value.to(old.device, copy=True)
