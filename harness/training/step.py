"""One optimizer step: what a run repeats, and what the forecast runs on fake tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from harness.metering.watch import Watch
from harness.training.in_backward import InBackward
from harness.training.kept import tensors_of
from harness.training.precision import autocast, grad_scaler
from harness.training.replica import Alone, Replica
from methods.base import Handle

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Family
    from methods.base import Change


class Books(Protocol):
    """Whoever keeps account of what trains."""

    def apply(self, change: Change) -> None:
        """Make the optimizer and the account follow a change."""

    def updated(self) -> None:
        """Note that the optimizer has moved all that trains now."""


class NoBooks:
    """For steps that change nothing."""

    def apply(self, change: Change) -> None:
        """Do nothing."""

    def updated(self) -> None:
        """Do nothing."""


class Step:
    """Forward passes, backward, clipping, the optimizer, and the method's hooks between them.

    Args:
        handle: the method on its model, which returns outputs with a loss.
        optimizer: over everything that trains.
        settings: of the cell.
        device: where the batches are.
        family: says what label smoothing is.
        books: told of every change that the method announces, and of every update.
        foreach: passed on to gradient clipping; None lets torch choose.
        replica: of the handle's model, for data parallel; None: the model itself.

    Attributes:
        loss_sum: sum of the losses since someone set it to 0, on the device.
        scaler: of the loss, for fp16.
    """

    def __init__(
        self,
        handle: Handle,
        optimizer: Optimizer,
        settings: TrainSettings,
        device: torch.device,
        family: Family,
        books: Books,
        foreach: bool | None = None,
        replica: Replica | None = None,
    ) -> None:
        self.handle, self.optimizer = handle, optimizer
        self.replica = replica or Alone(handle.model)
        self.settings, self.device = settings, device
        self.scaler = grad_scaler(settings.dtypes, device)
        self.loss_sum = torch.zeros((), device=device)
        self._family, self._books, self._foreach = family, books, foreach
        self._outputs: Any = None
        self._in_backward = InBackward(optimizer) if settings.optimizer_in_backward else None

    def run(
        self,
        number: int,
        batches: Iterable[Mapping[str, Tensor]],
        parts: Sequence[float],
        watch: Watch,
    ) -> bool:
        """Run optimizer step `number`; says whether the method changed anything.

        Args:
            number: from 0.
            batches: of the step; gradients of all of them are summed up.
            parts: for each batch, how many of its size the step is made of: what its mean loss is
                divided by. A smaller last batch then counts for as much as it holds, as it would
                in one large batch.
            watch: told of every part of the step.
        """
        kept = self.settings.outputs == "kept"
        self.replica.begin(watch)
        if kept:
            self.optimizer.zero_grad(set_to_none=True)
        self.handle.before_forward(number)
        for index, (inputs, part) in enumerate(zip(batches, parts, strict=True), start=1):
            watch.declare("inputs", inputs.values())
            watch.mark("forward")
            passing = self.replica.passing(last=index == len(parts))
            with passing, autocast(self.settings.dtypes, self.device):
                outputs = self.replica(**inputs)
                loss = self._loss(outputs, inputs) / part
            # Until here the outputs of the step before were alive, as they are in such a loop.
            self._outputs = outputs if self.settings.holds_outputs else None
            del outputs
            watch.mark("backward")
            with self._in_backward.stepping(watch) if self._in_backward else nullcontext():
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.loss_sum += loss.detach()
            del inputs, loss
        watch.mark("optimizer")
        changed = False
        if self._in_backward is None:
            changed = self._update(number)
        self._books.updated()
        changed |= self._apply(self.handle.on_step(number))
        if not kept:
            self.optimizer.zero_grad(set_to_none=True)
            self._outputs = None
        watch.mark("end")
        every = self.settings.empty_cache_steps
        if every and (number + 1) % every == 0:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            watch.emptied()
        return changed

    def _update(self, number: int) -> bool:
        """Clip the gradients and step; says whether the method changed anything."""
        self.scaler.unscale_(self.optimizer)
        changed = self._apply(self.handle.on_gradients(number))
        if self.settings.clip:
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.settings.clip, foreach=self._foreach)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return changed

    def drop(self) -> None:
        """Let go of what a step that was broken off has left: gradients, and outputs."""
        self.optimizer.zero_grad(set_to_none=True)
        self._outputs = None

    def held(self) -> Iterator[Tensor]:
        """Yield the tensors that outputs which are kept keep alive, if any are."""
        return tensors_of(self._outputs)

    def buckets(self) -> Iterable[Tensor]:
        """Return what gradients are reduced in, where there are several ranks."""
        return self.replica.held()

    def without_hooks(self) -> Step:
        """Return the same step on the model as it is, of which neither method nor books hear.

        It goes on where this one ends: what is kept is its own then.
        """
        silent = Handle(model=self.handle.model, adapter=self.handle.adapter)
        step = Step(
            silent, self.optimizer, self.settings, self.device, self._family, NoBooks(),
            self._foreach, self.replica,
        )  # fmt: skip
        step._outputs, self._outputs = self._outputs, None
        return step

    def _loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of one batch, with the method's own term."""
        loss: Tensor = outputs.loss
        if self.settings.smooths_apart:
            loss = self._family.smoothed_loss(outputs, inputs, self.settings.label_smoothing)
        extra = self.handle.loss()
        return loss if extra is None else loss + extra

    def _apply(self, change: Change | None) -> bool:
        if not change:
            return False
        self._books.apply(change)
        return True
