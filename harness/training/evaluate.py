"""Predictions of a model over an evaluation set, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.training.batches import Batch, evaluation_batch, evaluation_batches, largest_evaluation
from harness.training.lacking import accounted
from harness.training.precision import autocast

if TYPE_CHECKING:
    from harness.metering.watch import Watch
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Encoded, Family
    from harness.tasks.generation import Generation
    from harness.training.setup import Setup


def evaluate_on(setup: Setup, name: str) -> dict[str, float]:
    """Return the scores of the run's model on the evaluation of that name: beside training."""
    data = setup.evaluations[name]
    setup.handle.evaluating(on=True)
    with setup.clock.apart("metering"):
        longest, shape = largest_evaluation(data, setup.settings, setup.ranks.rank)
        setup.meter.audit_evaluation(
            lambda: _predict_on(setup, data, longest), shape.tokens, setup.state.step
        )
    with setup.clock.apart("evaluation"), setup.meter.evaluation():
        scores = accounted(
            setup, "evaluation", lambda _: _evaluate(setup, data),
            lambda watch: _watched_prediction(setup, data, longest, watch),
        )  # fmt: skip
    setup.handle.evaluating(on=False)
    return scores


def _evaluate(setup: Setup, data: Encoded) -> dict[str, float]:
    """Return the task's metrics, those of predictions in the order of the data.

    Ranks take the batches in turn, and the first one scores what all of them predicted.
    """
    kept, ranks = dict[int, Tensor](), setup.ranks
    for indices, batch in evaluation_batches(data, setup.settings, setup.device, ranks.rank):
        kept |= zip(indices, _predict(setup, batch).cpu(), strict=True)
        setup.progress({"evaluated": min(ranks.size * len(kept), len(data))})
    every = {index: row for part in ranks.gather(kept) for index, row in part.items()}

    def score() -> dict[str, float]:
        predictions = setup.family.predictions([every[index] for index in range(len(data))], data)
        scores = setup.task.score(predictions, setup.family.references(data))
        return {metric: float(value) for metric, value in scores.items()}  # no scalars of numpy

    return ranks.first_says(score)


def _watched_prediction(setup: Setup, data: Encoded, indices: list[int], watch: Watch) -> None:
    watch.mark("forward")
    _predict_on(setup, data, indices)
    watch.mark("end")


def _predict_on(setup: Setup, data: Encoded, indices: list[int]) -> None:
    """Run one batch, made here, and drop what it gives."""
    _predict(setup, evaluation_batch(data, indices, setup.settings, setup.device))


def _predict(setup: Setup, batch: Batch) -> Tensor:
    return predict_batch(
        setup.model, setup.family, batch, setup.settings, setup.device, setup.task.generation
    )


@torch.no_grad()
def predict_batch(
    model: nn.Module,
    family: Family,
    batch: Batch,
    settings: TrainSettings,
    device: torch.device,
    generation: Generation | None = None,
) -> Tensor:
    """Return what the family keeps of one batch, on the device: an example's row, or its answer."""
    was_training = model.training
    model.eval()
    with autocast(settings.dtypes, device):
        if generation is None:
            rows = family.predict(model, family.prediction_inputs(batch))
        else:
            rows = family.generate(model, family.inputs(batch), generation)
    model.train(was_training)
    return rows
