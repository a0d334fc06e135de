"""Language models: the next token, of a decoder alone or behind an encoder. Bare shapes so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.families.base import TEXT_SHAPE, Evaluation, Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape

IGNORED = -100  # the label of tokens that no loss is taken of


class CausalLM(Family):
    """Every token from those before it; a token's label stands at its own place."""

    name: ClassVar[str] = "causal_lm"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    smooths: ClassVar[bool] = True

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and as many labels."""
        from harness.tasks.families.text import hollow_ids, hollow_tokens

        labels = hollow_ids(shape.examples, shape.length)
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy of each token given those before it, in float32."""
        return _token_loss(outputs.logits[:, :-1], inputs["labels"][:, 1:], smoothing)


class Seq2Seq(Family):
    """A decoder's tokens from those before them and from the encoder's text."""

    name: ClassVar[str] = "seq2seq"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    evaluation: ClassVar[Evaluation] = "generation"
    shape_keys: ClassVar[frozenset[str]] = TEXT_SHAPE | {"target_length"}
    smooths: ClassVar[bool] = True

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, S) token ids and (B, T) labels of the decoder; T is S where none is given."""
        from harness.tasks.families.text import hollow_ids, hollow_tokens

        labels = hollow_ids(shape.examples, shape.target_length or shape.length)
        return {**hollow_tokens(model, shape, mask), "labels": labels}

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy of the decoder's tokens, in float32."""
        return _token_loss(outputs.logits, inputs["labels"], smoothing)


def _token_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    from torch.nn import functional

    return functional.cross_entropy(
        logits.float().flatten(0, 1),
        labels.flatten(),
        ignore_index=IGNORED,
        label_smoothing=smoothing,
    )
