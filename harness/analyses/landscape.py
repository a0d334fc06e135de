"""The loss around the point that a run ended in, along two directions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from harness.analyses.base import Analysis, Found, Study, Subject
from harness.analyses.parameters import MEANING, Over, tensors_over

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.analyses.base import Weighed


class Landscape(Analysis):
    """The training loss on a grid of two orthogonal, filter-normalised directions; SAFE's Fig. 7.

    Li et al. (2018), section 4: random directions whose filters have the norms of the tensors' own
    (`directions`). The loss is that of `hessian`. Both directions are drawn by the run's seed and
    the tensors' names, so that methods with the same tensors are looked at along the same ones.
    """

    name: ClassVar[str] = "landscape"

    over: Over = Field("trained", description=MEANING)
    radius: PositiveFloat = Field(
        1.0, description="how far to go: at 1 each filter is moved by its own length"
    )
    points: PositiveInt = Field(11, ge=3, le=101, description="of each axis, an odd number")
    examples: PositiveInt = Field(256, description="training examples that the loss is over")

    @field_validator("points")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"{value} is even, and the middle would be on no point")
        return value

    def begin(self) -> Study:
        """Return a study of the end."""
        return _LandscapeStudy(self)


class _LandscapeStudy(Study):
    def __init__(self, options: Landscape) -> None:
        self.options = options

    def conclude(self, subject: Subject) -> Found:
        """Walk the grid, and go back to the bit."""
        import torch

        options = self.options
        tensors = tensors_over(subject, options.over)
        if not tensors:
            raise ValueError(f"over {options.over}: nothing is left to move")
        half = options.points // 2
        axis = [options.radius * i / half for i in range(-half, half + 1)]
        batches = subject.sample(options.examples, subject.batch_size)
        ways = directions(tensors, subject.seed)
        before = {name: p.detach().clone() for name, p in tensors.items()}
        losses: list[list[float]] = []
        with torch.no_grad():
            try:
                for number, down in enumerate(axis, start=1):
                    subject.tell(f"landscape: row {number} of {options.points}")
                    losses.append([])
                    for right in axis:
                        for name, (one, other) in ways.items():
                            tensors[name].copy_(before[name] + right * one + down * other)
                        losses[-1].append(_mean_loss(subject, batches))
            finally:
                for name, value in before.items():
                    tensors[name].copy_(value)
        return _found(options, axis, losses, sum(p.numel() for p in tensors.values()))


def directions(tensors: Mapping[str, nn.Parameter], seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return two random directions: filter by filter orthogonal, and as long as the tensor's own.

    A filter is what makes one output: a row of a matrix, a channel of a kernel. A tensor with one
    dimension, or with rows of one element, is one filter: Li et al. leave biases where they are,
    and then adapters that are vectors could not be looked at. Where a filter is 0, so are both.

    Args:
        tensors: by name.
        seed: with the name it decides what is drawn, whatever other tensors there are.
    """
    return {name: _directions_of(name, p.detach(), seed) for name, p in tensors.items()}


def _directions_of(name: str, tensor: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    import torch

    rows = tensor.double().cpu()
    rows = rows.reshape(len(tensor), -1) if tensor.dim() > 1 else rows.reshape(1, -1)
    rows = rows.reshape(1, -1) if rows.shape[1] == 1 else rows
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    drawn = torch.randn((2, *rows.shape), generator=generator, dtype=torch.float64)
    first = torch.nn.functional.normalize(drawn[0], dim=1)
    second = drawn[1] - (drawn[1] * first).sum(dim=1, keepdim=True) * first
    # Of one element in all there is no second direction; the division would make one of rounding.
    second = torch.nn.functional.normalize(second, dim=1) if rows.shape[1] > 1 else 0 * second
    lengths = rows.norm(dim=1, keepdim=True)
    one, other = ((lengths * way).reshape(tensor.shape).to(tensor) for way in (first, second))
    return one, other


def _mean_loss(subject: Subject, batches: Sequence[Weighed]) -> float:
    return sum(float(subject.loss(batch.inputs)) * batch.share for batch in batches)


def _found(
    options: Landscape, axis: Sequence[float], losses: Sequence[Sequence[float]], size: int
) -> Found:
    half = options.points // 2
    centre, every = losses[half][half], [loss for row in losses for loss in row]
    content: dict[str, Any] = {
        "over": options.over, "parameters": size, "examples": options.examples,
        "axis": [*axis], "losses": [[*row] for row in losses], "loss": centre,
    }  # fmt: skip
    headline = {"loss at the end": centre, "mean rise in the plane": fmean(every) - centre}
    lower = sum(loss < centre for loss in every)
    notes = [f"{lower} of {len(every)} points lie below the middle"] if lower else []
    return Found(headline, content, notes)
