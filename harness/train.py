"""The training loop: knows the contract of a method, and no method by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.batches import Encoded, TrainingOrder
from harness.clock import Clock
from harness.evaluate import evaluate, predict_longest
from harness.meter import Meter
from harness.optim import apply_change, make_optimizer, make_schedule
from harness.step import NoWatch, Step, Watch

if TYPE_CHECKING:
    from harness.settings import TrainSettings
    from harness.tasks.base import Task, TaskData
    from methods.base import Change, Handle

# The loss is looked at every so many steps: reading it makes a GPU wait.
CHECK_EVERY = 20
NO_WATCH = NoWatch()


class Diverged(Exception):
    """The loss is no longer finite."""


@dataclass
class Job:
    """All that one training run needs."""

    model: nn.Module
    handle: Handle
    head: list[nn.Parameter]
    task: Task
    data: TaskData
    order: TrainingOrder
    evaluations: dict[str, Encoded]
    settings: TrainSettings
    device: torch.device
    keep_best: bool
    meter: Meter
    clock: Clock
    flops: Callable[[], Any]
    progress: Callable[[dict[str, Any]], None]


@dataclass
class Result:
    """What a training run found out."""

    steps: int = 0
    final_loss: float = math.nan
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    trainable_sum: int = 0  # adapter parameters that train, summed over steps


class Loop:
    """One run of training: epochs of steps, phases, evaluations, the best checkpoint."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result = Result()
        self.optimizer = make_optimizer(job.model, job.head, job.settings)
        self.schedule = make_schedule(self.optimizer, job.settings, job.order.num_steps)
        self.step = Step(
            job.model, job.handle, self.optimizer, job.settings, job.device,
            smooth=not job.task.regression,
        )  # fmt: skip
        self._names = {n for n, p in job.model.named_parameters() if p.requires_grad}
        self._best: tuple[float, dict[str, Tensor]] | None = None
        self._loss_steps = 0
        self._phase_is_new = True
        self._trainable = self._count_trainable()

    def run(self) -> Result:
        """Train to the end, then score the checkpoint that the protocol reports.

        Raises:
            Diverged: the loss became infinite or not a number.
        """
        job = self.job
        job.model.train()
        for epoch in range(job.order.num_epochs):
            steps = job.order.epoch(epoch)
            for index in range(len(steps)):
                self._run_step(steps, index, epoch)
            self._check_loss()
            self._end_epoch(epoch)
        self._score_reported()
        return self.result

    def _run_step(self, steps: list[list[list[int]]], index: int, epoch: int) -> None:
        job, step = self.job, self.result.steps
        shapes = [job.order.shape(batch) for batch in steps[index]]
        if self._phase_is_new:
            upcoming = [max(map(job.order.shape, s), key=math.prod) for s in steps[index:]]
            with job.clock.beside("metering"):
                job.meter.start_phase(step, upcoming, job.flops())
            self._phase_is_new = False
        self.result.trainable_sum += self._trainable  # as the step begins, before it may freeze
        if job.meter.wants(step):
            with job.clock.audited_step(), job.meter.audit(step, self.optimizer) as watch:
                changes = self._step(steps[index], watch)
        else:
            job.clock.start_step()
            changes = self._step(steps[index], NO_WATCH)
            job.clock.end_step()
        job.meter.count(shapes)
        self.result.steps += 1
        self._phase_is_new = bool(changes)
        self._loss_steps += 1
        if self.result.steps % CHECK_EVERY == 0:
            loss = self._check_loss()
            job.progress(
                {"step": self.result.steps, "steps": job.order.num_steps, "epoch": epoch,
                 "loss": loss}
            )  # fmt: skip

    def _step(self, batches: list[list[int]], watch: Watch) -> list[Change]:
        """Run one optimizer step; returns what the method changed."""
        job = self.job
        made = (job.order.tensors(batch, job.device) for batch in batches)
        changes = self.step.run(self.result.steps, made, len(batches), watch)
        self.schedule.step()
        for _ in changes:
            self._note_change()
        return changes

    def _note_change(self) -> None:
        self._names |= {n for n, p in self.job.model.named_parameters() if p.requires_grad}
        self._trainable = self._count_trainable()

    def _count_trainable(self) -> int:
        return sum(p.numel() for p in self.job.handle.parameters() if p.requires_grad)

    def _check_loss(self) -> float:
        """Return the mean loss since the last look; refuse one that is not finite."""
        if self._loss_steps:
            self.result.final_loss = float(self.step.loss_sum) / self._loss_steps
            self.step.loss_sum.zero_()
            self._loss_steps = 0
        if not math.isfinite(self.result.final_loss):
            raise Diverged(f"the loss is {self.result.final_loss} at step {self.result.steps}")
        return self.result.final_loss

    def _end_epoch(self, epoch: int) -> None:
        job = self.job
        entry: dict[str, Any] = {"epoch": epoch, "steps": self.result.steps}
        entry["loss"] = self.result.final_loss
        if job.keep_best or job.settings.evaluate == "epoch":
            name = job.data.select_on
            entry[name] = self._evaluate(name)
            score = entry[name][job.data.select_metric]
            if job.keep_best and (self._best is None or score > self._best[0]):
                self._best = (score, self._snapshot())
                self.result.best_epoch = epoch
        self.result.history.append(entry)
        with job.clock.beside("probes"):
            change = job.handle.on_epoch(epoch, ())
        if change:
            apply_change(self.optimizer, change)
            self._note_change()
            self._phase_is_new = True
        job.progress({"step": self.result.steps, "steps": job.order.num_steps, **entry})

    def _evaluate(self, name: str) -> dict[str, float]:
        job = self.job
        data = job.evaluations[name]
        with job.clock.beside("metering"):
            job.meter.audit_evaluation(
                lambda: predict_longest(job.model, data, job.settings, job.device)
            )
        with job.clock.beside("evaluation"), job.meter.evaluation():
            return evaluate(job.model, job.task, data, job.settings, job.device)

    def _snapshot(self) -> dict[str, Tensor]:
        """Copy to the host every tensor that has trained so far."""
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.job.model.named_parameters()
            if name in self._names
        }

    def _score_reported(self) -> None:
        """Fill in the scores that the table shows: those of the best or the last checkpoint."""
        job = self.job
        if self._best:
            named = dict(job.model.named_parameters())
            with torch.no_grad():
                for name, value in self._best[1].items():
                    named[name].copy_(value)
        best = self.result.best_epoch
        known = self.result.history[-1 if best is None else best]
        for name in job.data.report_on:
            self.result.scores[name] = known.get(name) or self._evaluate(name)
