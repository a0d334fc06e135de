"""How a language model's loss is taken: `train.loss`, in training and in the forecast alike.

| value          | whose                                 | logits that are alive                  |
|----------------|---------------------------------------|----------------------------------------|
| model          | transformers', as installed           | all, their fp32 copy and its softmax   |
| chunked        | here: pieces, again in backward       | of one piece                           |
| chunked-output | here: as CEWithChunkedOutputLoss of   | all, their softmax in fp32, and the    |
|                | torchtune 0.6, not compiled           | fp32 copy of one piece                 |
| liger          | Liger's fused linear cross-entropy    | of one piece, and none in backward     |

TRL's SFTTrainer (1.16) cuts tokens and vocabulary into tiles and sums gradients in fp32: what it
holds is not what `chunked` holds, and as little beside the logits of `model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from harness.tasks.families.pieces import PIECES, InPieces
from harness.tasks.families.sequences import IGNORED
from harness.training import liger
from methods import surgery

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings


def use_loss(model: nn.Module, settings: TrainSettings) -> None:
    """Let the model return the loss that the settings ask for.

    Args:
        model: with the method on it, or wrapped by it.
        settings: of the cell.

    Raises:
        ValueError: it cannot be taken of this model.
    """
    if settings.loss == "model":
        return
    _, transformer = surgery.transformer_of(model)
    wrapped: Any = getattr(model, "active_peft_config", None)
    if wrapped is not None and wrapped.peft_type == "CPT":
        raise ValueError(f"train.loss = {settings.loss}: CPT has a loss of its own")
    pieces, smoothing = settings.loss_chunks or PIECES, settings.label_smoothing
    try:
        if settings.loss == "liger":
            _Fused(transformer, smoothing=smoothing)
        else:
            recomputed = settings.loss == "chunked"
            InPieces(transformer, pieces, smoothing, recomputed=recomputed)
    except ValueError as error:
        raise ValueError(f"train.loss = {settings.loss}: {error}; train.loss=model") from None


class _Fused(InPieces):
    """Liger's loss: of the transformer's outputs and the head's weight, in one function."""

    def __init__(self, model: Any, smoothing: float) -> None:
        if not liger.served(model).fuses:
            raise ValueError(f"Liger fuses no loss of {model.config.model_type}")
        self._head = _plain(model.get_output_embeddings())
        self._call = liger.functions().fused_linear_cross_entropy
        super().__init__(model, smoothing=smoothing)

    def answer(self, outputs: Any, targets: Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the mean loss of the transformer's outputs."""
        hidden, head = outputs.last_hidden_state, self._head
        cap = getattr(self._model.config.get_text_config(), "final_logit_softcapping", None)
        told = (None, IGNORED, 0.0, self.smoothing, "mean", cap)
        loss: Tensor = self._call(
            hidden.reshape(-1, hidden.shape[-1]), head.weight, targets.reshape(-1), head.bias, *told
        )[0]
        return {"loss": loss}


def _plain(head: Any) -> nn.Linear:
    """Return the linear layer whose weight Liger reads.

    Raises:
        ValueError: an adapter on it would be passed over.
    """
    copies = getattr(head, "modules_to_save", None)
    if copies is not None:
        head = copies[head.active_adapter[0] if isinstance(head.active_adapter, list)
                      else head.active_adapter]  # fmt: skip
    if type(head) is not nn.Linear:
        raise ValueError(f"Liger reads the head's weight alone, past its {type(head).__name__}")
    return head
