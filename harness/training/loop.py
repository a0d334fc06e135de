"""The training loop: knows the contract of a method, and no method by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.metering.watch import Watch
from harness.training.compact import compact
from harness.training.evaluate import evaluate_on
from harness.training.lacking import accounted
from harness.training.precision import autocast
from harness.training.resume import Place, collect, resume
from harness.training.studies import Studies

if TYPE_CHECKING:
    from harness.training.setup import Setup
    from harness.training.state import Result
    from methods.base import Change

# The loss is looked at every so many steps: reading it makes a GPU wait.
CHECK_EVERY = 20


class Diverged(Exception):
    """The loss, or a weight, is no longer finite."""


class Interrupted(Exception):
    """Someone asked the run to end; its checkpoint is written."""


class Loop:
    """One run of training: epochs of steps, phases, evaluations, the best checkpoint.

    Attributes:
        studies: the cell's analyses at work.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, self.state, self.result = setup, setup.state, setup.state.result
        self.studies = Studies(setup)
        self._order = setup.order  # with the examples as the epoch sees them

    def run(self) -> Result:
        """Train to the end, then score the checkpoint that the protocol reports.

        Goes on from the run's checkpoint where there is one.

        Raises:
            Diverged: the loss or a weight became infinite or not a number.
            Interrupted: the checkpoint was asked for, and is written.
        """
        setup = self.setup
        setup.model.train()
        self._show_probe(lambda: setup.handle.on_start(setup.probe))
        first = resume(setup, self.studies)
        self._hold_ranks()
        if not self.result.steps:
            self.studies.observe(0)
        self._tell({"doing": "training"})
        for epoch in range(first.epoch, setup.order.num_epochs):
            self._order = setup.order_in(epoch)
            steps = self._order.epoch(epoch)
            for index in range(first.step if epoch == first.epoch else 0, len(steps)):
                self._run_step(steps, Place(epoch, index))
                self._save_if_due(Place(epoch, index + 1))
            self._check_loss()
            self._check_weights()
            self._end_epoch(epoch)
        self._score_reported()
        self.studies.conclude()
        self.result.compacted = compact(setup)
        return self.result

    # -- steps -----------------------------------------------------------------------------------

    def _run_step(self, steps: list[list[list[int]]], place: Place) -> None:
        setup, number, batches = self.setup, self.result.steps, steps[place.step]
        shapes = [setup.order.shape(batch) for batch in setup.order.own(batches)]
        if self.state.phase_is_new:
            self._start_phase(steps[place.step :])
        variant = setup.handle.variant(number)
        self._count_flops_of(variant)
        if setup.meter.wants(number, variant, shapes):
            with setup.clock.audited_step(), setup.meter.audit(number, self.state.step) as w:
                changed = self._step(batches, w)
        else:
            setup.clock.start_step()
            changed = accounted(setup, "training", partial(self._step, batches))
            setup.clock.end_step()
        setup.meter.count(shapes, variant)
        self.result.steps += 1
        self.state.phase_is_new = changed
        self.state.loss_steps += 1
        looked = self.result.steps % CHECK_EVERY == 0
        self._tell({"epoch": place.epoch, **({"loss": self._check_loss()} if looked else {})})
        self.studies.observe(self.result.steps)

    def _start_phase(self, steps: list[list[list[int]]]) -> None:
        """Begin a phase with the first of these steps."""
        setup, number = self.setup, self.result.steps
        upcoming = [
            (setup.order.largest(batches), setup.handle.variant(number + i))
            for i, batches in enumerate(steps)
        ]
        setup.meter.start_phase(number, upcoming)
        setup.clock.start_phase()
        self.state.phase_is_new = False

    def _count_flops_of(self, variant: Hashable) -> None:
        """Have the FLOPs of this variant of a step counted, once per phase."""
        setup = self.setup
        if not setup.meter.knows(variant):
            with setup.clock.apart("metering"):
                setup.handle.pretend(variant)
                fit = accounted(setup, None, lambda _: setup.flops())
                setup.meter.learn(variant, fit)
                setup.handle.pretend(None)

    def _step(self, batches: list[list[int]], watch: Watch) -> bool:
        """Run one optimizer step; returns whether the method changed anything."""
        setup = self.setup
        own = self._order.own(batches)
        tensors = (self._order.tensors(batch, setup.device) for batch in own)
        parts = self._order.parts(batches)
        changed = self.state.step.run(self.result.steps, tensors, parts, watch)
        assert self.state.schedule is not None
        self.state.schedule.step()
        return changed

    def _check_loss(self) -> float:
        """Return the mean loss since the last look; refuse one that is not finite."""
        if self.state.loss_steps:
            mean = float(self.state.step.loss_sum) / self.state.loss_steps
            self.result.final_loss = self.setup.ranks.mean(mean)
            self.state.step.loss_sum.zero_()
            self.state.loss_steps = 0
        if not math.isfinite(self.result.final_loss):
            raise Diverged(f"the loss is {self.result.final_loss} at step {self.result.steps}")
        return self.result.final_loss

    def _check_weights(self) -> None:
        """Refuse weights that are not finite: a last step's damage shows in no loss."""
        with self.setup.clock.apart("metering"):
            for name, tensor in self.setup.model.named_parameters():
                if tensor.requires_grad and not tensor.detach().isfinite().all():
                    raise Diverged(f"{name} is not finite after step {self.result.steps}")
            self._hold_ranks()

    def _hold_ranks(self) -> None:
        """Hold all ranks to the same weights: what they learn from then on is one model's."""
        if self.setup.ranks.size > 1:
            trained = [p.detach() for p in self.setup.model.parameters() if p.requires_grad]
            sums = [float(tensor.double().sum()) for tensor in trained]
            self.setup.ranks.agree(f"weights after step {self.result.steps}", sums)

    # -- epochs ----------------------------------------------------------------------------------

    def _end_epoch(self, epoch: int) -> None:
        setup = self.setup
        entry: dict[str, Any] = {"epoch": epoch, "steps": self.result.steps}
        entry["loss"] = self.result.final_loss
        if setup.keep_best or setup.settings.evaluate == "epoch":
            name = setup.data.select_on
            entry[name] = self._evaluate(name)
            score = entry[name][setup.data.select_metric] * (-1 if setup.data.lowest else 1)
            if setup.keep_best and (self.state.best is None or score > self.state.best[0]):
                self.state.best = (score, self.state.snapshot())
                self.result.best_epoch = epoch
        self.result.history.append(entry)
        change = self._show_probe(lambda: setup.handle.on_epoch(epoch, setup.probe))
        if change:
            self.state.apply(change)
            self.state.phase_is_new = True
        self._tell({"doing": "training", **entry})

    def _show_probe(self, look: Callable[[], Change | None]) -> Change | None:
        """Let the method look at its probe set: beside training, in time and in memory."""
        setup = self.setup
        if setup.handle.num_probe:
            self._tell({"doing": "probing"})
        with setup.clock.apart("probes"), autocast(setup.settings.dtypes, setup.device):
            if not setup.handle.num_probe:
                return look()
            probe = partial(setup.meter.probing, look, self.state.step)
            return accounted(setup, "evaluation", lambda _: probe(), lambda _: look())

    def _score_reported(self) -> None:
        """Fill in the scores that the table shows: those of the best or the last checkpoint."""
        if self.state.best:
            self.state.restore(self.state.best[1])
        best = self.result.best_epoch
        entry = self.result.history[-1 if best is None else best]
        for name in self.setup.data.report_on:
            self.result.scores[name] = entry.get(name) or self._evaluate(name)

    def _evaluate(self, name: str) -> dict[str, float]:
        self._tell({"doing": f"evaluating {name}"})
        return evaluate_on(self.setup, name)

    # -- checkpoints and progress ----------------------------------------------------------------

    def _save_if_due(self, place: Place) -> None:
        """Write a checkpoint of what comes before `place`; end here if that was asked for.

        A method whose state cannot be stored has none, and starts again.
        """
        setup, checkpoints = self.setup, self.setup.checkpoints
        asked = (checkpoints.due(), checkpoints.wanted) if checkpoints else (False, False)
        due, wanted = setup.ranks.pulse(self.state.chosen, *asked)
        if checkpoints is None or not due:
            return
        goes = "starts it again"
        if setup.handle.resumable:
            with setup.clock.apart("metering"):
                saved = collect(setup, self.studies, place)
                trouble = setup.ranks.first_says(partial(checkpoints.save, saved))
            goes = f"starts it again ({trouble})" if trouble else "goes on from there"
            if trouble:
                print(trouble)
        if wanted:
            raise Interrupted(f"after step {self.result.steps}; the next run {goes}")

    def _tell(self, news: dict[str, Any]) -> None:
        steps = {"step": self.result.steps, "steps": self.setup.order.num_steps}
        self.setup.progress({**news, **steps})
