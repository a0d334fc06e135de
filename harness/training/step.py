"""One optimizer step: what a run repeats, and what the forecast runs on fake tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.training.optim import apply_change
from harness.training.precision import autocast, grad_scaler

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from harness.suite.settings import TrainSettings
    from methods.base import Change, Handle


class Watch(Protocol):
    """What a step tells whoever watches it."""

    def mark(self, name: str) -> None:
        """Say which part of the step begins."""

    def declare(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Say what some tensors are."""


class NoWatch:
    """Takes no note of anything: for steps that nobody audits."""

    def mark(self, name: str) -> None:
        """Ignore the mark."""

    def declare(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Ignore the tensors."""


class Step:
    """Forward passes, backward, clipping, the optimizer, and the method's hooks between them.

    Args:
        model: returns outputs with a loss.
        handle: the method; changes that it announces are applied here.
        optimizer: over everything that trains.
        settings: of the cell.
        device: where the batches are.
        smooth: apply the settings' label smoothing (a regression has none).
        foreach: passed on to gradient clipping; None lets torch choose.

    Attributes:
        loss_sum: sum of the losses since someone set it to 0, on the device.
    """

    def __init__(
        self,
        model: nn.Module,
        handle: Handle,
        optimizer: Optimizer,
        settings: TrainSettings,
        device: torch.device,
        *,
        smooth: bool = True,
        foreach: bool | None = None,
    ) -> None:
        self.model, self.handle, self.optimizer = model, handle, optimizer
        self.settings, self.device = settings, device
        self.scaler = grad_scaler(settings.precision, device)
        self.loss_sum = torch.zeros((), device=device)
        self._smoothing = settings.label_smoothing if smooth else 0.0
        self._foreach = foreach
        self._outputs: Any = None

    def run(
        self, number: int, batches: Iterable[Mapping[str, Tensor]], count: int, watch: Watch
    ) -> tuple[Change | None, Change | None]:
        """Run optimizer step `number` over `count` batches.

        Returns:
            What the method changed before the optimizer's step, and after it.
        """
        keep = self.settings.keep_outputs
        if keep:
            self.optimizer.zero_grad(set_to_none=True)
        self.handle.before_forward(number)
        for inputs in batches:
            watch.declare("inputs", inputs.values())
            watch.mark("forward")
            with autocast(self.settings.precision, self.device):
                outputs = self.model(**inputs)
                loss = self._loss(outputs, inputs) / count
            # Until here the outputs of the step before were alive, as they are in such a loop.
            self._outputs = outputs if keep else None
            del outputs
            watch.mark("backward")
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.loss_sum += loss.detach()
            del inputs, loss
        watch.mark("optimizer")
        self.scaler.unscale_(self.optimizer)
        before = self._apply(self.handle.on_gradients(number))
        if self.settings.clip:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.settings.clip, foreach=self._foreach)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        after = self._apply(self.handle.on_step(number))
        if not keep:
            self.optimizer.zero_grad(set_to_none=True)
        watch.mark("end")
        return before, after

    def _loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch, with the method's own term."""
        loss: Tensor = outputs.loss
        if self._smoothing:
            loss = functional.cross_entropy(
                outputs.logits.float(), inputs["labels"], label_smoothing=self._smoothing
            )
        extra = self.handle.loss()
        return loss if extra is None else loss + extra

    def _apply(self, change: Change | None) -> Change | None:
        if not change:
            return None
        apply_change(self.optimizer, change)
        return change
