"""AdaLoRA at work: peft's allocator between steps, and taking out the ranks that it gave up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from methods.base import Change, Resized
from methods.common.ranks import RankHandle
from methods.common.tuner import TunerHandle

# What peft's allocator keeps of every tensor: |w g|, its running mean, the deviation's.
MEANS = ("ipt", "exp_avg_ipt", "exp_avg_unc")
# The dimension along which each tensor of a triplet has its ranks, in the model's order.
RANKS = {"lora_A": 0, "lora_B": 1, "lora_E": 0}


class InPlace(dict[str, Tensor]):
    """Tensors by name, each of which stays where it is when it gets a new value.

    peft puts a new tensor in an old one's place in every step; copied, a mean is one block of
    memory over the run, and is known as the method's. A value that is not finite, as fp16 makes
    them, is not taken over: peft's means would never be finite again.
    """

    def __setitem__(self, name: str, value: Tensor) -> None:
        if name in self:
            value = torch.where(value.isfinite().all(), value, self[name])  # reads no value
            self[name].copy_(value)
        else:
            super().__setitem__(name, value)


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
            setattr(self._allocator, key, InPlace(zeros))

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

        Raises:
            ValueError: a tensor has no gradient to be scored by, so another method froze it.
        """
        if self.kept:
            return
        options = self._allocator.peft_config
        last = options.total_step - options.tfinal
        without = [name for name, p in self.adapter.items() if p.grad is None]
        if step < last and without:
            raise ValueError(
                f"{without[0]} has no gradient in step {step}: AdaLoRA shares one budget of ranks "
                "among all layers, so no method around it can freeze or leave out some"
            )
        self.peft.base_model.update_and_allocate(step)
        budget, masks = self._allocator.budget_schedule(step)
        if (masks or step == last) and budget != self.budgets[-1][1]:
            self.budgets.append([step, budget])

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
        report: dict[str, Any] = {
            "ranks": ranks,
            "budget": [list(entry) for entry in self.budgets],
            "total_rank": total,
            "target": target,
            "effective_parameters": sum(
                ranks[name] * (d_in + d_out + 1) for name, (d_in, d_out) in self._shapes.items()
            ),
        }
        if total != target:
            report["warnings"] = [
                f"AdaLoRA's {total} ranks are not the {target} of its target: the checkpoint is "
                "from before the final phase, or equal scores fell together"
            ]
        return report

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
        """Restore them; where no means were stored, ranks are fixed."""
        self._allocator.peft_config.rank_pattern = state["rank_pattern"]
        self.budgets = [list(entry) for entry in state["budgets"]]
        means = self._means()
        if not set(means) <= set(state):
            self._allocator.reset_ipt()
        for key in set(means) & set(state):
            means[key].copy_(state[key])
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
        return self.adapter[f"{name.partition('.lora_')[0]}.{key}.default"]

    def _live(self) -> list[str]:
        return [name for name in self._shapes if f"{name}.lora_E.default" in self.adapter]

    def _means(self) -> dict[str, Tensor]:
        kept = {key: getattr(self._allocator, key) for key in MEANS}
        return {f"{name}.{key}": t for key, means in kept.items() for name, t in means.items()}
