"""SoRA at work: the proximal step that zeroes gates, and taking out the ranks that they gate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from methods import surgery
from methods.base import Change, Handle, Resized
from methods.common import folding

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Stage
    from methods.sora.layer import SoraLayer
    from methods.sora.method import Sora


def soft_threshold(gates: Tensor, xi: float) -> Tensor:
    """Return sign(g) max(|g| - xi, 0): the proximal operator of xi |g|."""
    return functional.softshrink(gates, xi)


def official_threshold(gates: Tensor, xi: float) -> Tensor:
    """Return what the released code makes of the gates (sparse_optimizer.py, SparseAdamW.step).

    It shrinks first and then zeroes what is below xi, so xi < |g| < 2 xi ends at 0, too, and the
    operator jumps at 2 xi. |g| == xi stays.
    """
    shrunk = torch.where(gates.abs() > xi, gates - xi * gates.sign(), gates)
    return shrunk.masked_fill(shrunk.abs() < xi, 0.0)


PROX: dict[str, Callable[[Tensor, float], Tensor]] = {
    "exact": soft_threshold,
    "official": official_threshold,
}


@dataclass(kw_only=True)
class SoraHandle(Handle):
    """A model with SoRA's layers in it.

    Attributes:
        modules: the layers that are still in the model, by name.
        config: the method.
        num_steps: optimizer steps of the run.
        xi: of the last step.
        kept: by module, the ranks that `compact` left in it, counted as attached.
    """

    modules: dict[str, SoraLayer]
    config: Sora
    num_steps: int
    xi: float = 0.0
    kept: dict[str, list[int]] = field(default_factory=dict)
    can_skip: bool = True

    def __post_init__(self) -> None:
        """List the gates as what does not decay, and note sizes: layers may leave the model."""
        self.undecayed = tuple(module.g for module in self.modules.values())
        self._shapes = {n: (m.in_features, m.out_features) for n, m in self.modules.items()}
        names = surgery.layer_names(self.model)
        self._homes = {name: surgery.layer_of(name, names) for name in self.modules}
        self._folded: dict[str, Tensor] = {}  # ranks of what is no longer in the model
        self._hidden: int = self.model.config.hidden_size  # type: ignore[union-attr, assignment]

    # -- training --------------------------------------------------------------------------------

    def loss(self) -> Tensor | None:
        """Return eta times the mean of |g| over all gates as attached (trainer.compute_loss).

        Gates of layers that are left out add nothing, so that they get no gradient.
        """
        live: list[Tensor] = [m.g for m in self.modules.values() if not m.skipped]
        if not live or not self.config.eta:
            return None
        total = self.config.r * len(self._shapes)
        return torch.cat(live, dim=1).abs().sum() * (self.config.eta / total)

    def xi_at(self, step: int) -> float:
        """Return xi of `step` (0-based): constant, or linear over the stages from 0 to its value.

        The ends are those of the released script for the schedule.
        """
        stages = self.config.xi_stages
        if stages == 1:
            return self.config.xi
        return self.config.xi * (step * stages // self.num_steps) / (stages - 1)

    def on_step(self, step: int) -> None:
        """Move every gate that this step updated towards 0."""
        self.xi = self.xi_at(step)
        if not self.xi:
            return
        shrink = PROX[self.config.prox]
        with torch.no_grad():
            for module in self.modules.values():
                if module.g.grad is not None:  # else frozen, or its layer was left out
                    module.g.copy_(shrink(module.g, self.xi))

    # -- ranks -----------------------------------------------------------------------------------

    def compact(self) -> Change | None:
        """Take out the ranks whose gates are exactly 0; the model computes what it did."""
        found: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            live = module.g.detach().flatten().nonzero().flatten()
            if len(live) < module.rank:
                found[name] = live
        for name, live in found.items():
            before = self.kept.get(name, range(self.modules[name].rank))
            self.kept[name] = [before[index] for index in live.tolist()]
        return self._keep(found) if found else None

    def _keep(self, found: Mapping[str, Tensor]) -> Change:
        """Keep only these ranks of each module; one without any is its base layer again."""
        resized: list[Resized] = []
        gone: list[nn.Parameter] = []
        for name, ranks in found.items():
            module = self.modules[name]
            if not ranks.numel():
                gone += module.parameters(recurse=False)
                self._folded[name] = torch.zeros(())
                folding.replace_module(self.model, name, module.base_layer)
                del self.modules[name]
                continue
            resized += module.keep(ranks)
            self.adapter |= {f"{name}.{k}": p for k, p in module.named_parameters(recurse=False)}
        self.forget({id(parameter) for parameter in gone})
        self.layers = surgery.group_by_layer(self.model, self.adapter)
        self.undecayed = tuple(module.g for module in self.modules.values())
        return Change(frozen=tuple(gone), resized=tuple(resized), reshaped=True)

    def force(self, stage: Stage) -> Change:
        """Take the stage's share of the ranks out of each module, the last ones first."""
        if not stage.fraction:
            return Change()
        return self._keep({
            name: torch.arange(
                module.rank - int(stage.fraction * module.rank), device=module.g.device
            )
            for name, module in self.modules.items()
        })  # fmt: skip

    def ranks(self) -> dict[str, int]:
        """Return the number of gates that are not 0, by module; reads values."""
        live = {name: torch.count_nonzero(module.g) for name, module in self.modules.items()}
        counts = {**self._folded, **live}
        return {name: int(counts[name]) for name in self._shapes}

    def report(self) -> dict[str, Any]:
        """Return gates, ranks, and the parameters behind gates that are not 0, two counts of them.

        `effective_official` is the released code's: it takes 2 * hidden off for each zero gate,
        whatever the layer's size. Neither counts the gates.
        """
        ranks, r = self.ranks(), self.config.r
        zeros = r * len(ranks) - sum(ranks.values())
        sizes = {name: sum(shape) for name, shape in self._shapes.items()}
        return {
            "zero_gates": zeros,
            "of": r * len(ranks),
            "effective_parameters": sum(ranks[name] * size for name, size in sizes.items()),
            "effective_official": r * sum(sizes.values()) - 2 * self._hidden * zeros,
            "ranks": ranks,
            "xi": self.xi,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return which ranks are left where some were taken out, and the last xi."""
        return {"kept": {name: list(ranks) for name, ranks in self.kept.items()}, "xi": self.xi}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take out what was taken out."""
        self.xi = state["xi"]
        self.kept = {name: list(ranks) for name, ranks in state["kept"].items()}
        self._keep({
            name: torch.tensor(ranks, dtype=torch.int64, device=self.modules[name].g.device)
            for name, ranks in self.kept.items()
        })  # fmt: skip

    # -- for other methods, and the end ----------------------------------------------------------

    def skip(self, layers: Collection[int] | None) -> None:
        """Run only the base layers where adapters are left out."""
        for name, module in self.modules.items():
            module.skipped = layers is None or self._homes[name] in layers

    def prepare_to_fold(self) -> None:
        """Check that every adapter sits on a weight of plain numbers that it has for itself."""
        folding.refuse_unfoldable(self.model, self.modules)

    def fold(self, layers: Collection[int]) -> None:
        """Put back the base layers, with what the adapters add in their weights."""
        for name in [name for name in self.modules if self._homes[name] in layers]:
            module = self.modules.pop(name)
            self._folded[name] = torch.count_nonzero(module.g)
            folding.replace_module(self.model, name, module.merged_base())
            self.forget({id(parameter) for parameter in module.parameters(recurse=False)})

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold every layer; the model has its original structure again."""
        self.prepare_to_fold()
        self.fold(range(len(surgery.layer_names(self.model))))
        return model
