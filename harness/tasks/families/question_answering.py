"""Extractive question answering: where an answer starts and ends. A bare shape so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from harness.tasks.families.base import Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape


class QuestionAnswering(Family):
    """Two positions for each pair of question and text."""

    name: ClassVar[str] = "question_answering"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    label_names: ClassVar[tuple[str, ...]] = ("start_positions", "end_positions")

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and (B,) positions of start and end."""
        from harness.tasks.families.text import hollow_ids, hollow_tokens

        return {
            **hollow_tokens(model, shape, mask),
            "start_positions": hollow_ids(shape.examples),
            "end_positions": hollow_ids(shape.examples),
        }

    def predict(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (B, 2, S) logits of start and end."""
        import torch

        outputs = model(**inputs)
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=1).float()
