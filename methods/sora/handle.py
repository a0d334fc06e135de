"""SoRA at work: the proximal step that zeroes gates, and taking out the ranks that they gate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.nn import functional

from methods import surgery
from methods.base import Change, Resized
from methods.common import folding
from methods.common.in_place import UNMERGED_NORMS, InPlaceHandle
from methods.common.low_rank import LowRankHandle
from methods.common.ranks import RankHandle
from methods.slices import put_together
from methods.sora.layer import SoraLayer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Stage


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


Prox = Literal["exact", "official"]
PROX: dict[Prox, Callable[[Tensor, float], Tensor]] = {
    "exact": soft_threshold,
    "official": official_threshold,
}


class SoraOptions(NamedTuple):
    """What of the method's options a run needs; as in `Sora`.

    Attributes:
        r: rank as attached.
        eta: weight of the mean |gate| in the loss.
        xi: how far a step moves each gate towards 0.
        xi_stages: equal parts of the run, over which xi grows from 0.
        prox: the operator that moves them.
    """

    r: int
    eta: float
    xi: float
    xi_stages: int
    prox: Prox


@dataclass(kw_only=True)
class SoraHandle(LowRankHandle[SoraLayer], RankHandle):
    """A model with SoRA's layers in it.

    Attributes:
        options: the method's own.
        num_steps: optimizer steps of the run.
        xi: of the last step.
        norms: the LayerNorms that train, if any do.
    """

    options: SoraOptions
    num_steps: int
    xi: float = 0.0
    norms: InPlaceHandle | None = None

    def __post_init__(self) -> None:
        """List the gates as what does not decay, and note sizes: layers may leave the model."""
        super().__post_init__()
        self.undecayed = tuple(module.g for module in self.modules.values())
        self._shapes = {n: (m.in_features, m.out_features) for n, m in self.modules.items()}
        self._gone: dict[str, Tensor] = {}  # ranks of what is no longer in the model
        # None: the model's layers have no one width.
        self._hidden: int | None = getattr(surgery.text_config(self.model), "hidden_size", None)

    # -- training --------------------------------------------------------------------------------

    def loss(self) -> Tensor | None:
        """Return eta times the mean of |g| over all gates as attached (trainer.compute_loss).

        Gates of layers that are left out add nothing, so that they get no gradient.
        """
        live: list[Tensor] = [m.g for m in self.modules.values() if not m.skipped]
        if not live or not self.options.eta:
            return None
        total = self.options.r * len(self._shapes)
        return torch.cat(live, dim=1).abs().sum() * (self.options.eta / total)

    def xi_at(self, step: int) -> float:
        """Return xi of `step` (0-based): constant, or linear over the stages from 0 to its value.

        The ends are those of the released script for the schedule.
        """
        stages = self.options.xi_stages
        if stages == 1:
            return self.options.xi
        return self.options.xi * (step * stages // self.num_steps) / (stages - 1)

    def on_step(self, step: int) -> None:
        """Move every gate that this step updated towards 0."""
        self.xi = self.xi_at(step)
        if not self.xi:
            return
        shrink = PROX[self.options.prox]
        with torch.no_grad():
            for module in self.modules.values():
                if module.g.grad is not None:  # else frozen, or its layer was left out
                    module.g.copy_(shrink(module.g, self.xi))

    # -- ranks -----------------------------------------------------------------------------------

    def live_ranks(self) -> dict[str, Tensor]:
        """A rank works while its gate is not exactly 0."""
        return {name: module.g.detach().flatten() != 0 for name, module in self.modules.items()}

    def shrink(self, name: str, ranks: Tensor) -> list[Resized]:
        """Let the layer keep these ranks."""
        module = self.modules[name]
        resized = module.keep(ranks)
        self.adapter |= {f"{name}.{k}": p for k, p in module.named_parameters(recurse=False)}
        return resized

    def drop(self, name: str) -> list[nn.Parameter]:
        """It has no rank any more."""
        self._gone[name] = torch.zeros(())
        return list(self.modules.pop(name).parameters(recurse=False))

    def keep_ranks(self, chosen: Mapping[str, Tensor]) -> Change:
        """Also say which gates are left to decay nowhere."""
        change = super().keep_ranks(chosen)
        self.undecayed = tuple(module.g for module in self.modules.values())
        return change

    def force(self, stage: Stage) -> Change:
        """Take the stage's share of the ranks out of each module, the last ones first."""
        if not stage.fraction:
            return Change()
        return self.keep_ranks({
            name: torch.arange(
                module.rank - int(stage.fraction * module.rank), device=module.g.device
            )
            for name, module in self.modules.items()
        })  # fmt: skip

    def ranks(self) -> dict[str, int]:
        """Return the number of gates that are not 0, by module; reads values."""
        live = {name: torch.count_nonzero(module.g) for name, module in self.modules.items()}
        counts = {**self._gone, **live}
        return {name: int(counts[name]) for name in self._shapes}

    def report(self) -> dict[str, Any]:
        """Return gates, ranks, and the parameters behind gates that are not 0, two counts of them.

        `effective_official` is the released code's: it takes 2 * hidden off for each zero gate,
        whatever the layer's size (None: widths differ). Neither counts the gates.
        """
        ranks, r = self.ranks(), self.options.r
        zeros = r * len(ranks) - sum(ranks.values())
        sizes = {name: sum(shape) for name, shape in self._shapes.items()}
        return {
            "zero_gates": zeros,
            "of": r * len(ranks),
            "effective_parameters": sum(ranks[name] * size for name, size in sizes.items()),
            "effective_official": None
            if self._hidden is None
            else r * sum(sizes.values()) - 2 * self._hidden * zeros,
            "ranks": ranks,
            "xi": self.xi,
        }

    def shortfalls(self) -> list[str]:
        """Say that no gate is zero, and how far they were moved."""
        total = self.options.r * len(self._shapes)
        if sum(self.ranks().values()) < total or not self.options.xi:
            return []
        moved = sum(map(self.xi_at, range(self.num_steps)))
        return [
            f"SoRA zeroed none of {total} gates: xi moved each by {moved:.2g} over "
            f"{self.num_steps} steps, and they start as N(0, 1); raise xi, or train longer"
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return which ranks are left where some were taken out, and the last xi."""
        return {"kept": {name: list(ranks) for name, ranks in self.kept.items()}, "xi": self.xi}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take out what was taken out."""
        self.xi = state["xi"]
        self.take_out_again(state["kept"], next(self.parameters()).device)

    # -- for other methods -----------------------------------------------------------------------

    def overhead(self) -> Mapping[str, Tensor]:
        """Return also the copies of LayerNorms that `prepare_to_skip` made."""
        return {**super().overhead(), **(self.norms.overhead() if self.norms else {})}

    def prepare_to_skip(self) -> None:
        """Copy the LayerNorms that train; before they have moved, `skip` needs no copy."""
        if self.norms:
            self.norms.prepare_to_skip()

    def skip(self, layers: Collection[int] | None) -> None:
        """Run these layers as the base model has them."""
        super().skip(layers)
        if self.norms and self.norms.can_skip:
            self.norms.skip(layers)

    def prepare_to_fold(self) -> None:
        """Refuse where LayerNorms train.

        Raises:
            ValueError: they do, or as for any low-rank layer.
        """
        if self.norms:
            raise ValueError(f"sora: {UNMERGED_NORMS}")
        super().prepare_to_fold()

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold every layer; LayerNorms stay as trained."""
        folding.refuse_unfoldable(self.model, self.modules)
        self.fold(range(len(surgery.layer_names(self.model))))
        return put_together(model)

    def note_folded(self, name: str, module: SoraLayer) -> None:
        """Remember its rank, for the report."""
        self._gone[name] = torch.count_nonzero(module.g)
