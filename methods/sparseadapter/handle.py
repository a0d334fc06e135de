"""SparseAdapter at work: scores once, then keeps masked entries at zero, value and gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from methods.common.over import OverHandle
from methods.sparseadapter import scores as scoring
from methods.sparseadapter.options import NEEDS_GRADIENTS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Change
    from methods.sparseadapter.options import Pruner, Scope
    from methods.sparseadapter.scores import Scores


@dataclass(kw_only=True)
class SparseHandle(OverHandle):
    """The base method's matrices and a mask for each.

    A matrix whose masked entries are 0 and whose gradient is 0 there is the P * M of the paper,
    without a second tensor of its size in the forward pass. Optimizers keep such entries where
    they are: momentum is 0, and decay of 0 is 0.

    Attributes:
        pruner: what scores entries.
        keep: share of the entries that stay.
        scope: whether all matrices compete, or the entries of each.
        score_after: steps of training before scoring; 0: before training.
        seed: of random scores.
        masks: boolean, by the matrix's name; all true until there are scores.
        scored_at: the step (0-based) before whose update the masks were made.
        kept: entries that stayed.
    """

    pruner: Pruner
    keep: float
    scope: Scope
    score_after: int
    seed: int
    masks: dict[str, Tensor] = field(default_factory=dict)
    scored_at: int | None = None
    kept: int | None = None

    def __post_init__(self) -> None:
        """Make masks, and ask for the probe where scores need gradients."""
        matrices = {name: p for name, p in self.base.adapter.items() if p.dim() > 1}
        self.masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in matrices.items()}
        self._total = sum(p.numel() for p in matrices.values())
        self._unmasked = sum(p.numel() for p in self.parameters()) - self._total
        if self.pruner in NEEDS_GRADIENTS and not self.score_after:
            config: Any = self.model.config
            self.num_probe = max(self.num_probe, 32 * config.num_labels)

    def overhead(self) -> Mapping[str, Tensor]:
        """Return what the base method stores, and the masks."""
        masks = {f"mask.{name}": mask for name, mask in self.masks.items()}
        return {**super().overhead(), **masks}

    # -- hooks -----------------------------------------------------------------------------------

    def on_start(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Score, unless that waits for a warm-up.

        Raises:
            ValueError: the scores do not say what to keep.
        """
        super().on_start(probe)
        if self.score_after == 0:
            matrices = self._matrices()
            self._mask(matrices, self._scores(matrices, probe), step=0)

    def on_gradients(self, step: int) -> Change | None:
        """Make the masks if this is the step; drop masked entries' gradients."""
        if self.scored_at is None and step >= self.score_after > 0:
            self._score_in_training(step)
        for name, parameter in self._matrices().items():
            if parameter.grad is not None:
                parameter.grad.mul_(self.masks[name])
        return super().on_gradients(step)

    def on_step(self, step: int) -> Change | None:
        """Undo what momentum from before the masks did to masked entries."""
        if self.scored_at:  # at 0 there is no such momentum
            self._hide()
        return super().on_step(step)

    def look(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Run the passes that give scores their gradients."""
        super().look(probe)
        if self.pruner in NEEDS_GRADIENTS and self.score_after == 0:
            self._scores(self._matrices(), probe)

    # -- what it does ----------------------------------------------------------------------------

    def _matrices(self) -> dict[str, nn.Parameter]:
        return {name: self.base.adapter[name] for name in self.masks}

    def _scores(
        self, matrices: Mapping[str, nn.Parameter], probe: Iterable[Mapping[str, Tensor]]
    ) -> Scores:
        if self.pruner == "magnitude":
            return scoring.magnitude(matrices)
        if self.pruner == "snip":
            return scoring.snip_on(self.model, matrices, probe)
        if self.pruner == "grasp":
            return scoring.grasp(self.model, matrices, probe)
        return scoring.random(matrices, self.seed)

    def _score_in_training(self, step: int) -> None:
        """Score matrices that still train by this step's gradients; frozen ones stay whole.

        Waits for the next step if a gradient is missing (AdapterDrop) or not finite (fp16).
        """
        matrices = {name: p for name, p in self._matrices().items() if p.requires_grad}
        gradients = {name: p.grad for name, p in matrices.items() if p.grad is not None}
        if len(gradients) < len(matrices) or not matrices:
            return
        if not all(bool(grad.isfinite().all()) for grad in gradients.values()):
            return
        if self.pruner == "magnitude":
            self._mask(matrices, scoring.magnitude(matrices), step)
        else:
            self._mask(matrices, scoring.snip(matrices, gradients), step)

    def _mask(self, matrices: Mapping[str, nn.Parameter], scores: Scores, step: int) -> None:
        """Keep the highest scores and hide the rest."""
        for names, count in self._shares(matrices):
            masks = scoring.keep_highest({name: scores[name] for name in names}, count)
            for name, mask in masks.items():
                self.masks[name].copy_(mask)
        self.scored_at = step
        self.kept = sum(int(mask.sum()) for mask in self.masks.values())
        self._hide()

    def _shares(self, matrices: Mapping[str, nn.Parameter]) -> list[tuple[list[str], int]]:
        """Return groups of matrices that compete, with the number of entries that each keeps."""
        if self.pruner == "er":
            counts = scoring.erdos_renyi({n: p.shape for n, p in matrices.items()}, self.keep)
            return [([name], count) for name, count in counts.items()]
        if self.scope == "local":
            return [([name], round(self.keep * p.numel())) for name, p in matrices.items()]
        return [(list(matrices), round(self.keep * sum(p.numel() for p in matrices.values())))]

    @torch.no_grad()
    def _hide(self) -> None:
        for name, parameter in self._matrices().items():
            parameter.mul_(self.masks[name])

    def _take_over(self) -> None:
        super()._take_over()
        self.masks = {name: mask for name, mask in self.masks.items() if name in self.adapter}

    # -- record, resume --------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """Return how many entries stayed; `effective` counts those, and biases and norms."""
        report = {
            "pruner": self.pruner,
            "scope": self.scope,
            "scored_at": self.scored_at,
            "kept": self.kept,
            "of": self._total,
            "effective": None if self.kept is None else self.kept + self._unmasked,
        }
        return {**super().report(), **report}

    def shortfalls(self) -> list[str]:
        """Also say that nothing was masked, or that more stayed than was to."""
        wanted = round(self.keep * self._total)
        if self.kept is None:
            own = "SparseAdapter masked nothing: no step had a gradient of every matrix to score"
        elif self.kept > wanted + len(self.masks):  # shares of each matrix are rounded
            own = f"SparseAdapter kept {self.kept} entries, not {wanted}: some froze before scoring"
        else:
            return super().shortfalls()
        return [*super().shortfalls(), own]

    def state_dict(self) -> dict[str, Any]:
        """Return the masks."""
        masks = {f"mask.{name}": mask for name, mask in self.masks.items()}
        return {**super().state_dict(), **masks, "scored_at": self.scored_at, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the masks; the matrices come with the model's tensors."""
        super().load_state_dict(state)
        self.scored_at, self.kept = state["scored_at"], state["kept"]
        for name, mask in self.masks.items():
            if f"mask.{name}" in state:  # else a method around this one will fold the matrix
                mask.copy_(state[f"mask.{name}"])
