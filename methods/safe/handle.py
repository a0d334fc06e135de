"""SAFE at work: importance after every epoch, what freezes, and what that makes superfluous."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from methods import surgery
from methods.base import Change
from methods.common.over import OverHandle, joined
from methods.safe.cka import Recorder, linear_cka

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Stage
    from methods.safe.options import CacheLimits, FeatureSource
    from methods.safe.prefix_cache import PrefixCache
    from methods.safe.rules import Rules


@dataclass(kw_only=True)
class SafeHandle(OverHandle):
    """The base method's units and what is known of each. Epochs count from 1, as in the paper.

    Attributes:
        rules: importances so far, and what follows from them.
        features: what a layer's features are compared with; see `Safe.activation`.
        probe_size: training examples that importance is measured on.
        cache_limits: of the frozen prefix's outputs; None: the prefix runs in every step.
        merge: fold what freezes into the base weights.
        seed: of the run.
        frozen_at: unit -> epoch after which it froze.
        merged: the values of folded adapter tensors, on the host, so that a resumed run can fold
            them once more.
    """

    rules: Rules
    features: FeatureSource
    probe_size: int
    cache_limits: CacheLimits | None
    merge: bool
    seed: int
    frozen_at: dict[int, int] = field(default_factory=dict)
    merged: dict[str, Tensor] = field(default_factory=dict)
    _reference: list[Tensor] = field(default_factory=list)
    _cache: PrefixCache | None = None

    def __post_init__(self) -> None:
        """Ask for the probe, and make room for the prefix's outputs.

        Raises:
            ValueError: the output of a frozen prefix would not stay the same.
        """
        self.num_probe = max(self.num_probe, self.probe_size)
        if self.cache_limits:
            from methods.safe.prefix_cache import PrefixCache

            self._refuse_moving_prefix()
            self._cache = PrefixCache(self.model, self.cache_limits)

    # -- hooks -----------------------------------------------------------------------------------

    def on_start(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Keep the base model's features.

        Methods that train the model's own tensors cannot be left out and need not be: they have
        not moved yet.
        """
        super().on_start(probe)
        if self.features == "model":
            if self.base.can_skip:
                self.base.skip(None)
            self._reference = self._recorder(probe).features()
            if self.base.can_skip:
                self.base.skip(())

    def before_forward(self, step: int) -> None:
        """Let the cache work inside of steps only."""
        super().before_forward(step)
        if self._cache:
            self._cache.arm(on=True)

    def on_step(self, step: int) -> Change | None:
        """End the cache's work."""
        if self._cache:
            self._cache.arm(on=False)
        return super().on_step(step)

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        """Measure importance, end the warm-up, freeze."""
        below = super().on_epoch(epoch, probe)
        cached = Change(reshaped=True) if self._cache and self._cache.end_epoch() else None
        now, live = epoch + 1, self._live()
        if not live or not self.rules.look_after(now):
            return joined(below, cached)
        self.rules.observe(now, self._measure(live, probe))
        return joined(below, cached, self._freeze(self.rules.chosen(now, live), now))

    def finish(self, model: nn.Module) -> nn.Module:
        """Take the cache out of the model; the base method merges what is left of it."""
        if self._cache:
            self._cache.remove()
            self._cache = None
        return super().finish(model)

    # -- what it does ----------------------------------------------------------------------------

    def _measure(
        self, live: Sequence[int], probe: Iterable[Mapping[str, Tensor]]
    ) -> dict[int, float]:
        """Return 1 - CKA of every live unit."""
        recorder = self._recorder(probe)
        if self.features == "local":
            pairs = recorder.local_features(live)
        else:
            features = recorder.features()
            pairs = {i: (features[i], self._reference[i]) for i in live}
        return {i: 1.0 - linear_cka(x, y) for i, (x, y) in pairs.items()}

    def _recorder(self, probe: Iterable[Mapping[str, Tensor]]) -> Recorder:
        return Recorder(self.base, list(probe), self.seed)

    def _live(self) -> list[int]:
        """Return the units that still train; a unit without tensors of its own never does."""
        return [
            index
            for index, unit in enumerate(self.base.units())
            if any(p.requires_grad for p in unit) and index not in self.frozen_at
        ]

    def _freeze(self, units: Sequence[int], now: int) -> Change | None:
        """Freeze units; fold them and grow the cached prefix where that is asked for."""
        if not units:
            return None
        tensors = [p for i in units for p in self.base.units()[i]]
        self.frozen_at |= dict.fromkeys(units, now)
        if self.merge:
            ids = {id(p) for p in tensors}
            self.merged |= {
                name: p.detach().cpu()
                for name, p in self.base.adapter.items()
                if id(p) in ids and not p.is_meta
            }
            self.fold(units)
        if self._cache:
            self._cache.grow(self._depth())
        return Change(frozen=tuple(tensors), reshaped=self.merge)

    def _depth(self) -> int:
        """Return how many of the lowest layers hold nothing that trains."""
        units = self.base.units()
        live = [i for i in range(len(units)) if units[i] and i not in self.frozen_at]
        return live[0] if live else len(units)

    def _refuse_moving_prefix(self) -> None:
        if self.base.variant(0) is not None:
            raise ValueError("cache_prefix: steps of the base method differ in their forward pass")
        inside = {id(p) for unit in self.base.units() for p in unit}
        for name, parameter in surgery.input_parameters(self.model).items():
            if parameter.requires_grad and id(parameter) not in inside:
                raise ValueError(f"cache_prefix: {name} below the first layer trains to the end")

    # -- forecast, record, resume ----------------------------------------------------------------

    def look(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Run the passes that importance is measured with."""
        super().look(probe)
        self._recorder(probe).rehearse(self._live() if self.features == "local" else ())

    def force(self, stage: Stage) -> Change:
        """Freeze the lowest share of the units, rounded down."""
        count = int(stage.fraction * len(self.units()) + 1e-9)
        change = self._freeze(range(count), now=0)
        if self._cache:
            self._cache.declare_ready(self._depth() if count else 0)
        return joined(super().force(stage), change) or Change()

    def variant(self, step: int) -> Hashable:
        """Return how many layers a step skips, beside the base method's own variant."""
        ready = self._cache.ready if self._cache else 0
        return (ready, super().variant(step))

    def pretend(self, variant: Any) -> None:
        """Run passes as such a step does."""
        if self._cache:
            self._cache.count_as_skipped(on=variant is not None)
        super().pretend(None if variant is None else variant[1])

    def report(self) -> dict[str, Any]:
        """Return importances, thresholds and what froze when."""
        cache = self._cache
        report: dict[str, Any] = {
            **self.rules.report(),
            "frozen_at_epoch": {str(unit): epoch for unit, epoch in self.frozen_at.items()},
            "shallowest_live_unit": min(self._live(), default=None),
            "probe_examples": self.num_probe,
            "reference_bytes_on_host": sum(rows.nbytes for rows in self._reference),
        }
        if cache:
            report["cache"] = cache.report()
        return {**super().report(), **report}

    def shortfalls(self) -> list[str]:
        """Also say where fewer units are frozen than were promised."""
        own = self.rules.shortfall(self.rules.num_units - len(self._live()))
        return [*super().shortfalls(), *([own] if own else [])]

    def state_dict(self) -> dict[str, Any]:
        """Return everything but the reference features, which `on_start` measures again."""
        state: dict[str, Any] = {
            "rules": self.rules.state_dict(),
            "frozen_at": [list(pair) for pair in self.frozen_at.items()],
        }
        state |= {f"merged.{name}": value for name, value in self.merged.items()}
        if self._cache:
            state |= {f"cache.{k}": v for k, v in self._cache.state_dict().items()}
        return {**super().state_dict(), **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it; adapters that were folded are folded again, with the values they had."""
        super().load_state_dict(state)
        self.rules.load_state_dict(state["rules"])
        self.frozen_at = {int(unit): epoch for unit, epoch in state["frozen_at"]}
        self.merged = _below("merged.", state)
        if self.merged:
            with torch.no_grad():
                for name, value in self.merged.items():
                    self.base.adapter[name].copy_(value)
            self.fold(list(self.frozen_at))
        if self._cache:
            self._cache.load_state_dict(_below("cache.", state))


def _below(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
