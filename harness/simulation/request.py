"""What a forecast depends on, and nothing else: two cells with one request share the answer."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from harness.models.spec import ModelSpec
from harness.plugins import fingerprint
from harness.shapes import BatchShape
from harness.simulation.target import Target
from harness.suite.frozen import Frozen
from harness.suite.numerics import TYPES
from harness.suite.plan import plan_of
from harness.suite.settings import TrainSettings
from harness.tasks.families import get_family
from harness.tasks.generation import Generation
from methods.base import Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

StandIn = Literal["meta", "cpu", "cuda"]
# Training settings that no byte depends on; the batch is in the shapes.
INERT = (
    "batch_size", "eval_batch_size", "epochs", "max_steps", "max_length", "max_target_length",
    "train_on_prompt", "padding", "length_grouping", "lr", "head_lr", "betas", "eps", "schedule",
    "warmup", "evaluate", "checkpoint", "augmentation",
)  # fmt: skip


class Request(Frozen):
    """One step to forecast.

    Attributes:
        family: name of the task's family.
        steps: shapes of consecutive optimizer steps' batches. The peak is sought from the second
            one on; the allocator sees all of them.
        evaluation: shape of the largest evaluation batch; None: evaluation is left out.
        generation: how answers to such a batch are generated; None: one forward pass evaluates.
        probe: shape of the largest batch of the method's probe, where it has one.
        mask: the model gets an attention mask; whether it has zeros is in the shapes.
        num_steps, num_epochs: of the run, for methods with a schedule.
        stand_in: what plays the device; None chooses. `cuda` is fake tensors of a GPU that is
            here, with no choice of ours.
    """

    model: ModelSpec
    family: str
    num_labels: PositiveInt
    method: str
    method_options: dict[str, Any]
    train: TrainSettings
    steps: tuple[BatchShape, ...]
    mask: bool
    target: Target
    evaluation: BatchShape | None = None
    generation: Generation | None = None
    probe: BatchShape | None = None
    stage: Stage = Stage("training")
    num_steps: PositiveInt = 1000
    num_epochs: PositiveInt = 10
    stand_in: StandIn | None = None

    def plan(self) -> Plan:
        """Return what the method is told of the run."""
        return plan_of(self.train, num_steps=self.num_steps, num_epochs=self.num_epochs)

    def parts(self) -> list[float]:
        """Return what `Step.run` is told of a step whose batches are all alike."""
        return [float(self.train.accumulate)] * self.train.accumulate

    def hollow_batch(self, model: nn.Module, shape: BatchShape) -> dict[str, Tensor]:
        """Return a batch without values, on torch's current device.

        Raises:
            UserError: the model has no positions for its lengths.
        """
        import torch

        from harness.models.positions import refuse_beyond
        from harness.tasks.families.packing import in_one_row
        from harness.training.batches import joined_rows
        from harness.training.precision import TORCH

        family = get_family(self.family)
        refuse_beyond(model, family.positions(shape, None), self.model.name)
        dtype = TORCH[self.train.rest]
        packed = shape.packed is not None
        batch = family.hollow_batch(model, shape, mask=self.mask and not packed, dtype=dtype)
        if packed:
            batch["position_ids"] = torch.empty_like(batch["input_ids"])
        return in_one_row(batch) if packed and joined_rows(self.train) else batch

    def key(self) -> str:
        """Hash of the request, the libraries' versions and this project's source.

        Raises:
            UserError: the model is a local folder without a readable config.
        """
        from harness.env import package_versions, source_hash

        content = self.model_dump(mode="json")
        content["model"].pop("label")
        content["train"] = structural(self.train)
        facts = [content, package_versions(), source_hash(), *fingerprint()]
        if self.model.path:  # a folder's config may change under the same name
            from harness.models.config import config_facts

            facts.append(config_facts(self.model))
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def structural(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that memory depends on, as far as it depends on them."""
    kept = settings.model_dump(mode="json", exclude={*INERT, *TYPES})
    kept.update(settings.dtypes.named())
    kept["clip"] = settings.clip is not None
    kept["label_smoothing"] = settings.label_smoothing > 0
    kept["weight_decay"] = settings.weight_decay > 0
    kept["momentum"] = settings.momentum > 0
    return kept
