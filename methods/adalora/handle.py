"""AdaLoRA at work: peft's allocator between steps, and taking out the ranks that it gave up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from methods.adalora.open import MEANS, Open, update_means
from methods.base import Change, Resized
from methods.common.ranks import RankHandle
from methods.common.tuner import TunerHandle

# The dimension along which each tensor of a triplet has its ranks, in the model's order.
RANKS = {"lora_A": 0, "lora_B": 1, "lora_E": 0}


@dataclass(kw_only=True)
class AdaLoraHandle(RankHandle, TunerHandle):
    """A model with AdaLoRA's triplets in it.

    Attributes:
        budgets: [step, ranks of the whole model from it on].
    """

    budgets: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the allocator's means, and note sizes: layers may leave the model.

        Raises:
            ValueError: the budget would not fall.
        """
        super().__post_init__()
        self.can_skip = False  # scores compare the gradients of all layers
        self.resumable = True
        self._allocator: Any = self.peft.base_model.rankallocator
        if self._allocator.target_bgt >= self._allocator.init_bgt:
            given = self._allocator.peft_config
            raise ValueError(
                f"target_r {given.target_r} is not below init_r {given.init_r}: there is no rank "
                "to take away; LoRA trains at a fixed rank"
            )
        self.budgets.append([0, self._allocator.init_bgt])
        self._shapes = {
            name.partition(".lora_A.")[0]: (p.shape[1], self._tensor(name, "lora_B").shape[0])
            for name, p in self.adapter.items()
            if ".lora_A." in name
        }
        for key in MEANS:
            zeros = {n: torch.zeros_like(p.detach()) for n, p in self.adapter.items()
                     if ".lora_" in n}  # fmt: skip
            setattr(self._allocator, key, zeros)

    # -- training --------------------------------------------------------------------------------

    def loss(self) -> Tensor | None:
        """Return gamma times the mean over all A, B of ||P P^T - I||_F (B transposed).

        peft does so in its wrapper's forward; the order of the sum is peft's, too.
        """
        weight: float = self.peft.active_peft_config.orth_reg_weight
        norms: list[Tensor] = []
        for name, p in self.adapter.items():
            if ".lora_A." in name or ".lora_B." in name:
                gram = p @ p.T if ".lora_A." in name else p.T @ p
                identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
                norms.append(torch.linalg.norm(gram - identity))
        return weight * (sum(norms, torch.zeros_like(norms[0])) / len(norms)) if norms else None

    def on_step(self, step: int) -> None:
        """Let peft score and mask; once ranks were taken out, they are fixed.

        As peft's `update_and_allocate`, but for what another method froze (SAFE): that keeps the
        ranks that it has, and what still trains shares the rest of the budget.
        """
        if self.kept:
            return
        options, allocator, open_ = self._allocator.peft_config, self._allocator, self._open_ones()
        last = options.total_step - options.tfinal
        if step < last:
            update_means(allocator, open_)
        budget, masks = allocator.budget_schedule(step)
        if step > last:
            if options.rank_pattern:  # empty where all had frozen before
                allocator.mask_using_rank_pattern(open_, options.rank_pattern)
        elif masks or step == last:
            self._allocate(open_, budget)
            if budget != self.budgets[-1][1]:
                self.budgets.append([step, budget])
        if step == last:
            allocator.reset_ipt()

    def _open_ones(self) -> Open:
        """Return the triplets' tensors that still train, and forget the means of all others."""
        names = self._open()
        open_ = Open((n, p) for n, p in self.adapter.items() if _module(n) in names)
        for key in MEANS:
            means = getattr(self._allocator, key)
            for name in [name for name in means if name not in open_]:
                del means[name]
        return open_

    def _allocate(self, open_: Open, budget: int) -> None:
        """Mask all but the most important triplets of those that still train."""
        shut = set(self._live()) - self._open()
        kept = sum(int(torch.count_nonzero(self._tensor(name, "lora_E"))) for name in shut)
        counts = {name: len(p) for name, p in open_.items() if ".lora_E." in name}
        total = sum(counts.values())
        masked = min(total, total - (budget - kept))
        pattern = {name: [True] * count for name, count in counts.items()}
        if masked > 0:  # peft masks as many as the model's ranks exceed the budget
            pattern = self._allocator.mask_to_budget(open_, self._allocator.init_bgt - masked)
        self._allocator.peft_config.rank_pattern = pattern

    # -- ranks -----------------------------------------------------------------------------------

    def live_ranks(self) -> dict[str, Tensor]:
        """A triplet works while its E is not exactly 0."""
        values = {name: self._tensor(name, "lora_E").detach().flatten() for name in self._live()}
        return {name: value != 0 for name, value in values.items()}

    def shrink(self, name: str, ranks: Tensor) -> list[Resized]:
        """Let peft's layer keep these ranks; its factor, alpha over `ranknum`, stays."""
        layer: Any = self.model.get_submodule(name)
        resized: list[Resized] = []
        for key, dim in RANKS.items():
            old = self._tensor(name, key)
            new = nn.Parameter(old.detach().index_select(dim, ranks), old.requires_grad)
            getattr(layer, key)["default"] = new
            self.adapter[f"{name}.{key}.default"] = new
            resized.append(Resized(old, new, dim, ranks))
        layer.r["default"] = ranks.numel()
        return resized

    def drop(self, name: str) -> list[nn.Parameter]:
        """Its counter goes with it."""
        layer: Any = self.model.get_submodule(name)
        self.forget({id(counter) for counter in layer.ranknum.values()})
        return [self._tensor(name, key) for key in RANKS]

    def keep_ranks(self, chosen: Mapping[str, Tensor]) -> Change:
        """Also end the allocation: what is left stays for good."""
        change = super().keep_ranks(chosen)
        self._allocator.reset_ipt()
        return change

    def ranks(self) -> dict[str, int]:
        """Return the number of E's values that are not 0, by module; reads values."""
        counts = {name: torch.count_nonzero(self._tensor(name, "lora_E")) for name in self._live()}
        return {name: int(counts.get(name, 0)) for name in self._shapes}

    def report(self) -> dict[str, Any]:
        """Return the ranks of the model as it is, the budget over the run, and parameters."""
        ranks, target = self.ranks(), self._allocator.target_bgt
        total = sum(ranks.values())
        return {
            "ranks": ranks,
            "budget": [list(entry) for entry in self.budgets],
            "total_rank": total,
            "target": target,
            "effective_parameters": sum(
                ranks[name] * (d_in + d_out + 1) for name, (d_in, d_out) in self._shapes.items()
            ),
        }

    def shortfalls(self) -> list[str]:
        """Say that the model has other ranks than the target's."""
        total, target = sum(self.ranks().values()), self._allocator.target_bgt
        if total == target:
            return []
        set_aside = len(self._shapes) - len(self._open())
        why = "the checkpoint is from before the final phase, or equal scores fell together"
        if set_aside:
            why = f"{set_aside} of {len(self._shapes)} matrices froze with the ranks that they had"
        return [f"AdaLoRA's {total} ranks are not the {target} of its target: {why}"]

    # -- state -----------------------------------------------------------------------------------

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the rank counters, and the allocator's means until ranks are fixed."""
        return {**self.buffers, **self._means()}

    def state_dict(self) -> dict[str, Any]:
        """Return the allocator's means, what it masks, and what was taken out."""
        return {
            **self._means(),
            "rank_pattern": self._allocator.peft_config.rank_pattern,
            "budgets": [list(entry) for entry in self.budgets],
            "kept": {name: list(ranks) for name, ranks in self.kept.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them; what has no means any more has its ranks fixed."""
        self._allocator.peft_config.rank_pattern = state["rank_pattern"]
        self.budgets = [list(entry) for entry in state["budgets"]]
        for key in MEANS:
            means = getattr(self._allocator, key)
            for name in list(means):
                if f"{name}.{key}" in state:
                    means[name].copy_(state[f"{name}.{key}"])
                else:
                    del means[name]
        self.take_out_again(state["kept"], next(self.parameters()).device)

    # -- for other methods -----------------------------------------------------------------------

    def prepare_to_fold(self) -> None:
        """Refuse.

        Raises:
            ValueError: always; `finish` merges all layers at once.
        """
        raise ValueError("AdaLoRA shares one budget of ranks among all layers: none folds alone")

    def _tensor(self, name: str, key: str) -> nn.Parameter:
        """Return one of a triplet's tensors; `name` is the module's, or a tensor's of it."""
        return self.adapter[f"{_module(name)}.{key}.default"]

    def _open(self) -> set[str]:
        """Return the modules whose ranks another method has not frozen."""
        return {
            name
            for name in self._live()
            if all(self._tensor(name, key).requires_grad for key in RANKS)
        }

    def _live(self) -> list[str]:
        return [name for name in self._shapes if f"{name}.lora_E.default" in self.adapter]

    def _means(self) -> dict[str, Tensor]:
        kept = {key: getattr(self._allocator, key) for key in MEANS}
        return {f"{name}.{key}": t for key, means in kept.items() for name, t in means.items()}


def _module(name: str) -> str:
    """Return the module of a triplet's tensor, or of itself."""
    return name.partition(".lora_")[0]
