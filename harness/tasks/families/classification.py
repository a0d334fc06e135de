"""Texts or text pairs with one label each: a class, or a number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.families.base import TEXT_SHAPE, Encoded, Family

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from harness.shapes import BatchShape
    from harness.tasks.base import Example
    from harness.tasks.families.text import Tokens


class _OneLabel(Family):
    """Rows are `Example`s; predictions are the head's outputs."""

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE | {"num_labels"}
    problem: ClassVar[str]

    def set_head(self, config: Any, num_labels: int) -> None:
        """Set the number of outputs and the kind of loss."""
        config.num_labels = num_labels
        config.problem_type = self.problem

    def texts(self, rows: Iterable[Example]) -> Iterator[str]:
        """Yield texts and pairs."""
        for row in rows:
            yield from (text for text in (row.text, row.pair) if text)

    def encode(self, tokenizer: Any, rows: Sequence[Example], max_length: int) -> Tokens:
        """Tokenise texts or text pairs."""
        import torch

        from harness.tasks.families.text import Tokens, tokenise

        pairs = [row.pair for row in rows]
        features, pad = tokenise(tokenizer, [row.text for row in rows], pairs, max_length)
        labels = torch.tensor([row.label for row in rows], dtype=self._label_dtype())
        return Tokens(features, labels, pad)

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and (B,) labels."""
        import torch

        from harness.tasks.families.text import hollow_tokens

        labels = torch.empty(shape.examples, dtype=self._label_dtype())
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def predictions(self, kept: Sequence[Tensor], data: Encoded) -> NDArray[Any]:
        """Return logits (examples, labels)."""
        import torch

        return torch.stack(list(kept)).numpy()

    def references(self, data: Any) -> NDArray[Any]:
        """Return the labels (examples,)."""
        labels: NDArray[Any] = data.labels.numpy()
        return labels

    def _label_dtype(self) -> torch.dtype:
        raise NotImplementedError


class Classification(_OneLabel):
    """One class of several for each text or text pair."""

    name: ClassVar[str] = "classification"
    problem: ClassVar[str] = "single_label_classification"
    smooths: ClassVar[bool] = True

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy over the classes, in float32."""
        from torch.nn import functional

        return functional.cross_entropy(
            outputs.logits.float(), inputs["labels"], label_smoothing=smoothing
        )

    def _label_dtype(self) -> torch.dtype:
        import torch

        return torch.int64


class Regression(_OneLabel):
    """One number for each text or text pair."""

    name: ClassVar[str] = "regression"
    problem: ClassVar[str] = "regression"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE

    def set_head(self, config: Any, num_labels: int) -> None:
        """Set one output, which a bare shape does not say."""
        super().set_head(config, 1)

    def _label_dtype(self) -> torch.dtype:
        import torch

        return torch.float32
