"""When a tensor has learnt enough to stop training: a score of its gradients (AFLoRA eq. 2-5).

Knows tensors by name only. The averages are those of PLATON and AdaLoRA: a tensor whose gradients
have become small and steady scores low.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from methods.common.schedules import cubic, done, quadratic

if TYPE_CHECKING:
    from torch import Tensor

Sensitivity = Literal["gradient", "weight_times_gradient", "gradient_over_weight"]
Group = tuple[str, ...]  # names of tensors that freeze together


@dataclass(frozen=True)
class FreezingSchedule:
    """Which share of the tensors is frozen at which optimizer step (0-based), AFLoRA eq. 5.

    Attributes:
        start: t_i; until then nothing is frozen.
        end: T - t_f; from then on everything is.
        interval: steps between selections before `end`.
        shape: how the share grows between the two.
    """

    start: int
    end: int
    interval: int
    shape: Literal["cubic", "quadratic"]

    def share(self, step: int) -> float:
        """Return r(t), from 0 to 1."""
        grow = cubic if self.shape == "cubic" else quadratic
        return grow(done(step, self.start, self.end))

    def selects(self, step: int) -> bool:
        """Tell whether tensors are chosen in this step."""
        return step > self.start and (step % self.interval == 0 or step > self.end)


@dataclass
class _Averages:
    """What is kept of one tensor, in its shape: I-bar, U-bar, and the mean of I in this window."""

    sensitivity: Tensor
    uncertainty: Tensor
    window: Tensor | None


class FreezingScore:
    """s = mean(I-bar * U-bar) of each tensor, I-bar and U-bar averages over steps.

    I = |g|, I-bar = beta1 I-bar + (1 - beta1) I, U-bar = beta2 U-bar + (1 - beta2) |I - I-bar|;
    they start at 0 and are not corrected for that.

    Args:
        sensitivity: I: |g|, |w g| or |g / w|.
        beta1: of I-bar.
        beta2: of U-bar.
        window: None updates the averages in every step. A number of steps makes I its running mean
            over windows of that length, and updates them as a window ends (the released code).
    """

    def __init__(
        self, sensitivity: Sensitivity, beta1: float, beta2: float, window: int | None = None
    ) -> None:
        self._sensitivity = sensitivity
        self._beta1, self._beta2 = beta1, beta2
        self._window = window
        self._kept: dict[str, _Averages] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Keep averages of gradients of `tensor`, zeros at first, where it is."""
        import torch

        zeros = [torch.zeros_like(tensor.detach()) for _ in range(2 if self._window is None else 3)]
        self._kept[name] = _Averages(zeros[0], zeros[1], zeros[2] if zeros[2:] else None)

    def drop(self, name: str) -> None:
        """Give up what is kept of a tensor, if anything is."""
        self._kept.pop(name, None)

    def names(self) -> list[str]:
        """Return which tensors are scored, in the order of `add`."""
        return list(self._kept)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that is kept; also what a resumed run needs."""
        return {
            f"{name}.{key}": value
            for name, kept in self._kept.items()
            for key, value in vars(kept).items()
            if value is not None
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the values of `tensors()`; a tensor that has none there is dropped."""
        for name in self.names():
            if f"{name}.sensitivity" not in tensors:
                self.drop(name)
        for key, kept in self.tensors().items():
            kept.copy_(tensors[key])

    def update(self, name: str, weight: Tensor, grad: Tensor, step: int) -> None:
        """Take in the gradient of step `step` (0-based), without waiting for the device.

        A gradient that is not finite, as fp16 has them, leaves everything as it is.
        """
        import torch

        kept = self._kept[name]
        with torch.no_grad():
            now = self._measure(weight, grad)
            if kept.window is None or self._window is None:
                self._average(kept, now)
                return
            place = step % self._window
            if place == 0:  # a window ended; the weight 1 below begins the next one
                self._average(kept, kept.window)
            _replace(kept.window, torch.lerp(kept.window, now, 1 / (place + 1)), now)

    def _measure(self, weight: Tensor, grad: Tensor) -> Tensor:
        """Return I, in the tensor's shape."""
        import torch

        if self._sensitivity == "weight_times_gradient":
            return (weight * grad).abs()
        if self._sensitivity == "gradient_over_weight":
            return grad.abs() / weight.abs().clamp_min(torch.finfo(weight.dtype).eps)
        return grad.abs()

    def _average(self, kept: _Averages, now: Tensor) -> None:
        import torch

        mean = torch.lerp(kept.sensitivity, now, 1 - self._beta1)
        deviation = (now - mean).abs_()
        _replace(kept.uncertainty, kept.uncertainty.lerp(deviation, 1 - self._beta2), now)
        _replace(kept.sensitivity, mean, now)

    def elements(self, name: str) -> Tensor:
        """Return I-bar * U-bar, in the tensor's shape."""
        kept = self._kept[name]
        return kept.sensitivity * kept.uncertainty

    def score(self, name: str) -> Tensor:
        """Return s of one tensor, on its device, without dimensions."""
        return self.elements(name).mean()

    def lowest(self, groups: Sequence[Group], count: int) -> list[Group]:
        """Return the `count` groups that score lowest; of equal ones those first by name."""
        if count <= 0:
            return []
        scores = self._scores(groups).tolist()  # the only transfer to the host
        ranked = sorted(zip(scores, groups, strict=True))
        return [group for _, group in ranked[:count]]

    def below_threshold(self, groups: Sequence[Group], share: float) -> list[Group]:
        """Return the groups whose score is below the `share` quantile of all their elements.

        That is the released code's rule: theta is the k-th smallest element of I-bar * U-bar,
        k = floor(n share), n counting only what still trains, so that shares compound. k = 0
        freezes nothing. At share 1 everything freezes, though theta is the largest element and
        tensors of one value would not be below it.
        """
        import torch

        if share >= 1:
            return list(groups)
        pooled = torch.cat([self.elements(name).flatten() for group in groups for name in group])
        k = math.floor(pooled.numel() * share)
        if k == 0:
            return []
        below = (self._scores(groups) < pooled.kthvalue(k).values).tolist()
        return [group for group, low in zip(groups, below, strict=True) if low]

    def _scores(self, groups: Iterable[Group]) -> Tensor:
        """Return the mean score of each group's tensors."""
        import torch

        means = [torch.stack([self.score(name) for name in group]).mean() for group in groups]
        return torch.stack(means)


def _replace(old: Tensor, new: Tensor, now: Tensor) -> None:
    """Set `old` to `new` where all of `now` is finite, else leave it; no value is read."""
    import torch

    old.copy_(torch.where(now.isfinite().all(), new, old))


def mean_trainable(
    total: int, sizes: Mapping[str, int], frozen_at: Mapping[str, int], num_steps: int
) -> float:
    """Return the mean over steps of the parameters that a step updates: AFLoRA's #Params.

    Args:
        total: parameters that train in step 0.
        sizes: elements of the tensors that may freeze.
        frozen_at: the step in which a tensor froze; steps 0 to that one exclusive updated it.
        num_steps: of the run.
    """
    return total - sum(sizes[name] * (1 - at / num_steps) for name, at in frozen_at.items())
