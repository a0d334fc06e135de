"""The training loop: knows the contract of a method, and no method by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.training.compact import compact
from harness.training.evaluate import evaluate, predict_longest
from harness.training.optim import apply_change, make_optimizer, make_schedule
from harness.training.precision import autocast
from harness.training.resume import collect, resume
from harness.training.state import Job, Result, State
from harness.training.step import NoWatch, Step, Watch

if TYPE_CHECKING:
    from methods.base import Change

# The loss is looked at every so many steps: reading it makes a GPU wait.
CHECK_EVERY = 20
NO_WATCH = NoWatch()


class Diverged(Exception):
    """The loss is no longer finite."""


class Interrupted(Exception):
    """Someone asked the run to end; its checkpoint is written."""


class Loop:
    """One run of training: epochs of steps, phases, evaluations, the best checkpoint."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.result = Result()
        self.optimizer = make_optimizer(
            job.model, job.head, job.settings, undecayed=job.handle.undecayed
        )
        self.schedule = make_schedule(self.optimizer, job.settings, job.order.num_steps)
        self.step = Step(
            job.model, job.handle, self.optimizer, job.settings, job.device,
            smooth=not job.task.regression,
        )  # fmt: skip
        # Names as attached: what a method freezes it may take out of the model at once.
        self._attached = {id(p): n for n, p in job.model.named_parameters() if p.requires_grad}
        self.state = State(names=set(self._attached.values()))
        self.trainable = self.count_trainable()

    def run(self) -> Result:
        """Train to the end, then score the checkpoint that the protocol reports.

        Goes on from the job's checkpoint where there is one.

        Raises:
            Diverged: the loss became infinite or not a number.
            Interrupted: the checkpoint was asked for, and is written.
        """
        job = self.job
        job.model.train()
        self._show_probe(lambda: job.handle.on_start(job.probe))
        first_epoch, first_index = resume(self)
        for epoch in range(first_epoch, job.order.num_epochs):
            steps = job.order.epoch(epoch)
            for index in range(first_index, len(steps)):
                self._run_step(steps, index, epoch)
                self._save_if_due(epoch, index + 1)
            first_index = 0
            self._check_loss()
            self._end_epoch(epoch)
        self._score_reported()
        self.result.compacted = compact(self)
        return self.result

    def _run_step(self, steps: list[list[list[int]]], index: int, epoch: int) -> None:
        job, step = self.job, self.result.steps
        shapes = [job.order.shape(batch) for batch in steps[index]]
        if self.state.phase_is_new:
            upcoming = [
                (max(map(job.order.shape, batches), key=math.prod), job.handle.form(step + i))
                for i, batches in enumerate(steps[index:])
            ]
            job.meter.start_phase(step, upcoming)
            job.clock.start_phase()
            self.state.phase_is_new = False
        form = job.handle.form(step)
        self._count_flops_of(form)
        if job.meter.wants(step, form, shapes):
            with job.clock.audited_step(), job.meter.audit(step, self.optimizer) as watch:
                changed = self._step(steps[index], watch)
        else:
            job.clock.start_step()
            changed = self._step(steps[index], NO_WATCH)
            job.clock.end_step()
        job.meter.count(shapes, form)
        self.result.steps += 1
        self.state.phase_is_new = changed
        self.state.loss_steps += 1
        if self.result.steps % CHECK_EVERY == 0:
            loss = self._check_loss()
            job.progress(
                {"step": self.result.steps, "steps": job.order.num_steps, "epoch": epoch,
                 "loss": loss}
            )  # fmt: skip

    def _count_flops_of(self, form: Hashable) -> None:
        """Have the FLOPs of this form of step counted, once per phase."""
        job = self.job
        if not job.meter.knows(form):
            with job.clock.beside("metering"):
                job.handle.take(form)
                job.meter.learn(form, job.flops())
                job.handle.take(None)

    def _step(self, batches: list[list[int]], watch: Watch) -> bool:
        """Run one optimizer step; returns whether the method changed anything."""
        job = self.job
        made = (job.order.tensors(batch, job.device) for batch in batches)
        before, after = self.step.run(self.result.steps, made, len(batches), watch)
        self.schedule.step()
        self.note_change(before)
        self.result.trainable_sum += self.trainable  # what this step updated
        self.note_change(after)
        return bool(before or after)

    def note_change(self, change: Change | None) -> None:
        """Keep in mind which tensors train, froze, or took another one's place."""
        if not change:
            return
        for resized in change.resized:
            if id(resized.old) in self._attached:
                self._attached[id(resized.new)] = self._attached.pop(id(resized.old))
        # Two methods, one around the other, may both freeze a tensor.
        frozen = (self._attached[id(p)] for p in change.frozen)
        self.state.frozen = list(dict.fromkeys((*self.state.frozen, *frozen)))
        self.state.names |= {n for n, p in self.job.model.named_parameters() if p.requires_grad}
        self.trainable = self.count_trainable()

    def count_trainable(self) -> int:
        """Return how many of the adapter's parameters train now."""
        return sum(p.numel() for p in self.job.handle.parameters() if p.requires_grad)

    def _check_loss(self) -> float:
        """Return the mean loss since the last look; refuse one that is not finite."""
        if self.state.loss_steps:
            self.result.final_loss = float(self.step.loss_sum) / self.state.loss_steps
            self.step.loss_sum.zero_()
            self.state.loss_steps = 0
        if not math.isfinite(self.result.final_loss):
            raise Diverged(f"the loss is {self.result.final_loss} at step {self.result.steps}")
        return self.result.final_loss

    def _end_epoch(self, epoch: int) -> None:
        job = self.job
        entry: dict[str, Any] = {"epoch": epoch, "steps": self.result.steps}
        entry["loss"] = self.result.final_loss
        if job.keep_best or job.settings.evaluate == "epoch":
            name = job.data.select_on
            entry[name] = self.evaluate(name)
            score = entry[name][job.data.select_metric]
            if job.keep_best and (self.state.best is None or score > self.state.best[0]):
                self.state.best = (score, self.snapshot())
                self.result.best_epoch = epoch
        self.result.history.append(entry)
        change = self._show_probe(lambda: job.handle.on_epoch(epoch, job.probe))
        if change:
            apply_change(self.optimizer, change)
            self.note_change(change)
            self.state.phase_is_new = True
        job.progress({"step": self.result.steps, "steps": job.order.num_steps, **entry})

    def _show_probe(self, look: Callable[[], Change | None]) -> Change | None:
        """Let the method look at its probe set: beside training, in time and in memory."""
        job = self.job
        with job.clock.beside("probes"), autocast(job.settings.precision, job.device):
            return job.meter.probing(look) if job.handle.num_probe else look()

    def evaluate(self, name: str) -> dict[str, float]:
        """Return the scores of the evaluation of that name."""
        job = self.job
        data = job.evaluations[name]
        with job.clock.beside("metering"):
            job.meter.audit_evaluation(
                lambda: predict_longest(job.model, data, job.settings, job.device)
            )
        job.handle.evaluating(on=True)
        with job.clock.beside("evaluation"), job.meter.evaluation():
            scores = evaluate(job.model, job.task, data, job.settings, job.device)
        job.handle.evaluating(on=False)
        return scores

    def snapshot(self) -> dict[str, Tensor]:
        """Copy to the host every tensor that has trained so far."""
        return {
            name: parameter.detach().cpu().clone()
            for name, parameter in self.job.model.named_parameters()
            if name in self.state.names
        }

    @torch.no_grad()
    def restore(self, values: dict[str, Tensor]) -> None:
        """Give tensors of the model the values of a snapshot."""
        named = dict(self.job.model.named_parameters())
        for name, value in values.items():
            named[name].copy_(value)

    def _save_if_due(self, epoch: int, index: int) -> None:
        """Write a checkpoint before step `index` of `epoch`; end here if that was asked for.

        A method whose state cannot be stored has none, and starts again.
        """
        checkpoints = self.job.checkpoints
        if checkpoints is None or not checkpoints.due():
            return
        if self.job.handle.resumable:
            with self.job.clock.beside("metering"):
                checkpoints.save(collect(self, epoch, index))
        if checkpoints.wanted:
            goes = "goes on from there" if self.job.handle.resumable else "starts it again"
            raise Interrupted(f"after step {self.result.steps}; the next run {goes}")

    def _score_reported(self) -> None:
        """Fill in the scores that the table shows: those of the best or the last checkpoint."""
        job = self.job
        if self.state.best:
            self.restore(self.state.best[1])
        best = self.result.best_epoch
        known = self.result.history[-1 if best is None else best]
        for name in job.data.report_on:
            self.result.scores[name] = known.get(name) or self.evaluate(name)
