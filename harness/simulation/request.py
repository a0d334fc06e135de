"""What a forecast depends on, and nothing else: two cells with one request share the answer."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import PositiveInt

from harness.models.spec import ModelSpec
from harness.simulation.target import Target
from harness.suite.settings import Frozen, TrainSettings
from harness.suite.shape import Family
from methods.base import Plan

StandIn = Literal["meta", "cpu", "cuda"]
# Training settings that no byte depends on; the batch is in the shapes.
INERT = (
    "batch_size", "eval_batch_size", "epochs", "max_steps", "max_length", "padding",
    "length_grouping", "lr", "head_lr", "schedule", "warmup", "evaluate", "checkpoint",
)  # fmt: skip


class StageRequest(Frozen):
    """A structural state of a method, as its `stages` lists it."""

    name: str = "training"
    fraction: float = 0.0


class Request(Frozen):
    """One step to forecast.

    Attributes:
        steps: (examples, padded length) of consecutive optimizer steps. The peak is sought from
            the second one on; the allocator sees all of them.
        mask: the batches are padded, so the model gets an attention mask that it cannot drop.
        target_length: of the decoder's labels (seq2seq); None is the padded length.
        num_steps, num_epochs: of the run, for methods with a schedule.
        stand_in: what plays the device; None chooses. `cuda` is fake tensors of a GPU that is
            here, with no choice of ours.
    """

    model: ModelSpec
    family: Family
    num_labels: PositiveInt
    method: str
    method_options: dict[str, Any]
    train: TrainSettings
    steps: tuple[tuple[PositiveInt, PositiveInt], ...]
    mask: bool
    target_length: PositiveInt | None
    target: Target
    stage: StageRequest = StageRequest()
    num_steps: PositiveInt = 1000
    num_epochs: PositiveInt = 10
    stand_in: StandIn | None = None

    def plan(self) -> Plan:
        """Return what the method is told of the run."""
        return Plan(
            num_steps=self.num_steps,
            steps_per_epoch=-(-self.num_steps // self.num_epochs),
            num_epochs=self.num_epochs,
            train_pooler=self.train.train_pooler,
        )

    def key(self) -> str:
        """Hash of the request, the libraries' versions and this project's source.

        Raises:
            UserError: the model is a local folder without a readable config.
        """
        from harness.env import package_versions, source_hash

        content = self.model_dump(mode="json")
        content["model"].pop("label")
        content["train"] = structural(self.train)
        facts = [content, package_versions(), source_hash()]
        if self.model.path:  # a folder's config may change under the same name
            from harness.models.load import config_facts

            facts.append(config_facts(self.model))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def structural(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that memory depends on, as far as it depends on them."""
    kept = settings.model_dump(mode="json", exclude=set(INERT))
    kept["clip"] = settings.clip is not None
    kept["label_smoothing"] = settings.label_smoothing > 0
    kept["weight_decay"] = settings.weight_decay > 0
    return kept
