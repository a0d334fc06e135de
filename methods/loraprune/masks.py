"""What LoRAPrune adds to LoRA's layers: masks on outputs, and the importance of their groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers.pytorch_utils import Conv1D

from methods import surgery

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.loraprune.groups import GroupSet, Member

Metric = Literal["lora", "magnitude"]


@dataclass
class MaskedSet:
    """Groups of one layer that a run may mask and take out.

    Attributes:
        groups: the set as it was in the model as built.
        left: indices there of the groups that are still in the model, ascending, on the host.
        mask: (left,) bool, False: masked. None where groups are protected or pruning is over.
        average: (left,) float32, moving average of importance. None where nothing is to be scored.
        masked: number of False in `mask`, known without a look at it.
        live: some may be masked in this run; False: all are protected.
    """

    groups: GroupSet
    left: Tensor
    mask: Tensor | None = None
    average: Tensor | None = None
    masked: int = 0
    live: bool = True

    @property
    def gone(self) -> int:
        """Number of groups that are masked or taken out."""
        return self.groups.count - len(self.left) + self.masked

    def mask_until(self, gone: int) -> None:
        """Mask the least important groups until `gone` of the original ones are gone.

        What is masked stays so. At least one group remains.
        """
        assert self.mask is not None
        assert self.average is not None
        gone = min(gone, self.groups.count - 1)
        if gone <= self.gone:
            return
        self.masked += gone - self.gone
        order = self.average.masked_fill(~self.mask, -1.0).argsort(stable=True)
        self.mask.fill_(True).index_fill_(0, order[: self.masked], False)

    def keep(self, kept: Tensor) -> None:
        """Forget all groups but `kept`, indices among `left`."""
        self.left = self.left[kept.to(self.left.device)]
        if self.mask is not None:
            self.mask = self.mask.index_select(0, kept.to(self.mask.device))
        if self.average is not None:
            self.average = self.average.index_select(0, kept.to(self.average.device))
        self.masked = 0

    def hook(self, member: Member) -> Any:
        """Return a forward hook that masks what a member puts out, (..., d_out)."""

        def masked(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            if self.mask is None:
                return None
            by_group = output.reshape(*output.shape[:-1], member.parts, len(self.mask), -1)
            return (by_group * self.mask[:, None]).view(output.shape)

        return masked


def estimate_gradient(lora_a: nn.Parameter, lora_b: nn.Parameter) -> Tensor | None:
    """Return gB A + B gA - gB gA, (d_out, d_in), from A (r, d_in) and B (d_out, r) (eq. 9).

    None where one of them has no gradient.
    """
    grad_a, grad_b = lora_a.grad, lora_b.grad
    if grad_a is None or grad_b is None:
        return None
    # gB A + (B - gB) gA, as one product without a second matrix of this size.
    return torch.cat([grad_b, lora_b - grad_b], 1) @ torch.cat([lora_a, grad_a])


def sensitivity(module: nn.Module, metric: Metric) -> Tensor | None:
    """Return |G * (W0 + factor B A)|, (d_out, d_in): G is the estimated gradient, or 1.

    None where LoRA's matrices have no gradient; a layer without LoRA has only a magnitude.
    """
    base = surgery.unwrap(module)
    weight = base.get_parameter("weight").float()
    if isinstance(base, Conv1D):  # stores (d_in, d_out)
        weight = weight.T
    lora: Any = module
    if not hasattr(module, "lora_A"):
        return weight.abs() if metric == "magnitude" else None
    [key] = lora.lora_A
    a, b = lora.lora_A[key].weight, lora.lora_B[key].weight
    gradient = estimate_gradient(a, b) if metric == "lora" else None
    if gradient is None and metric == "lora":
        return None
    weight = torch.addmm(weight, b, a, alpha=lora.scaling[key])
    return (weight if gradient is None else gradient.mul_(weight)).abs_()


@torch.no_grad()
def importance(model: nn.Module, groups: GroupSet, count: int, metric: Metric) -> Tensor | None:
    """Return the importance of the `count` groups that are left, float32, or None if unknown.

    Of every matrix: sensitivities summed over a group's rows (columns), and the vector of these
    divided by its L2 norm; then the sum over matrices (released code, `compute_sensitivity`). As
    there, masked groups count in the norm. The parts of a fused matrix count as matrices. One
    matrix at a time is formed.
    """
    total: Tensor | None = None
    for member in groups.members:
        if not member.scored:
            continue
        values = sensitivity(model.get_submodule(member.name), metric)
        if values is None:
            return None
        sums = values.sum(1 - member.dim).view(member.parts, count, -1).sum(-1)
        del values  # before the next one is formed
        scaled = (sums / (sums.norm(dim=-1, keepdim=True) + 1e-8)).sum(0)
        total = scaled if total is None else total + scaled
    return total
