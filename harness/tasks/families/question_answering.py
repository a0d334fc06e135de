"""Extractive question answering: where in a text the answer to a question starts and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.families.base import Encoded, Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape
    from harness.tasks.families.questions import Question
    from harness.tasks.families.windows import Windows
    from harness.tasks.generation import Generation


class QuestionAnswering(Family):
    """Rows are `Question`s, examples windows over their texts; predictions are texts."""

    name: ClassVar[str] = "question_answering"
    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    smooths: ClassVar[bool] = True
    label_names: ClassVar[tuple[str, ...]] = ("start_positions", "end_positions")

    def set_head(self, config: Any, num_labels: int) -> None:
        """Set two outputs a token, whatever a checkpoint's own task had."""
        config.num_labels = 2

    def texts(self, rows: Iterable[Question]) -> Iterator[str]:
        """Yield questions and texts."""
        for row in rows:
            yield row.question
            yield row.context

    def encode(self, tokenizer: Any, rows: Sequence[Question], max_length: int) -> Windows:
        """Cut every question's text into windows: `windows.encode` says how."""
        from harness.tasks.families import windows

        return windows.encode(tokenizer, rows, max_length)

    def encode_evaluation(
        self,
        tokenizer: Any,
        rows: Sequence[Question],
        max_length: int,
        generation: Generation | None,
    ) -> Windows:
        """Return the same windows, which know their places in the texts."""
        from harness.tasks.families import windows

        return windows.encode(tokenizer, rows, max_length, places=True)

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

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the mean of two cross-entropies over a window's tokens, in float32.

        As in the model's own loss, padding is among the tokens.
        """
        from torch.nn import functional

        start, end = (
            functional.cross_entropy(logits.float(), wanted, label_smoothing=smoothing)
            for logits, wanted in (
                (outputs.start_logits, inputs["start_positions"]),
                (outputs.end_logits, inputs["end_positions"]),
            )
        )
        return (start + end) / 2

    def predict(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (B, 2, S) logits of start and end."""
        import torch

        outputs = model(**inputs)
        return torch.stack([outputs.start_logits, outputs.end_logits], dim=1).float()

    def predictions(self, kept: Sequence[Tensor], data: Encoded) -> list[str]:
        """Return the best answer to each question, over all of its windows; "" where none is."""
        from harness.tasks.families.spans import best_answers

        return best_answers([logits.numpy() for logits in kept], data)

    def references(self, data: Any) -> list[tuple[str, ...]]:
        """Return the right answers to each question."""
        return [tuple(answer.text for answer in row.answers) for row in data.rows]
