"""The loss of a language model whose logits are never all there: pieces of tokens, one by one.

A model's transformer runs once. Then the model's own forward pass makes the logits of each piece,
with the transformer's place taken by what it has returned: head, adapters on it, softcapping and
scales of logits are the model's own. The loss is transformers' `ForCausalLMLoss`, piece by piece.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.loss.loss_utils import ForCausalLMLoss
from transformers.utils import ModelOutput

from harness.tasks.families.sequences import IGNORED
from methods import surgery

PIECES = 8  # as torchtune cuts
# Settings of configs that add a term to the loss where they are set.
_MORE = ("output_router_logits", "z_loss_coefficient")


class InPieces:
    """Stands for the forward pass of a language model, and gives a loss in place of logits.

    It returns the mean loss of the labels' tokens, each predicted from those before it. Without
    labels it is the model's own forward pass.

    Args:
        model: of transformers; its `forward` is replaced.
        pieces: how many the tokens of a batch are cut into.
        smoothing: of labels.
        recomputed: make a piece's logits again in backward; else all of them stay, as do their
            softmaxes in fp32.

    Raises:
        ValueError: the model's own loss is another one.
    """

    def __init__(
        self,
        model: Any,
        pieces: int = PIECES,
        smoothing: float = 0.0,
        *,
        recomputed: bool = True,
    ) -> None:
        _refuse_other_losses(model)
        prefix = model.base_model_prefix
        self._place = prefix if prefix in model._modules else "model"
        self._model, self._own = model, model.forward
        self._pieces, self.smoothing, self._recomputed = pieces, smoothing, recomputed
        self._by_token = False
        functools.update_wrapper(self, self._own)  # its signature is asked for
        model.forward = self

    def __call__(self, *args: Any, labels: Tensor | None = None, **kwargs: Any) -> Any:
        """Run the model; arguments are its own."""
        if labels is None:
            return self._own(*args, **kwargs)
        outputs = getattr(self._model, self._place)(*args, **kwargs)
        targets = functional.pad(labels, (0, 1), value=IGNORED)[:, 1:]
        kept = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        if not self._by_token:
            return ModelOutput(**self.answer(outputs, targets, kwargs), **kept)
        losses, _ = self._losses(outputs, targets, kwargs, "none")
        return ModelOutput(token_losses=torch.cat(losses).view_as(targets), **kept)

    @contextmanager
    def by_token(self) -> Iterator[None]:
        """Return, in place of the loss, `token_losses` (B, S) in float32: -log p of each label.

        They are 0 where there is none; the last place of a row predicts nothing.
        """
        self._by_token = True
        try:
            yield
        finally:
            self._by_token = False

    def answer(self, outputs: Any, targets: Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the mean loss of the transformer's outputs, and logits that live as outputs do.

        Args:
            outputs: of the transformer.
            targets: (B, S), the label of each place's successor.
            kwargs: of the model.
        """
        sums, logits = self._losses(outputs, targets, kwargs, "sum")
        loss = torch.stack(sums).sum() / (targets != IGNORED).sum()
        return {"loss": loss, **({"logits": logits} if logits else {})}

    def _losses(
        self, outputs: Any, targets: Tensor, kwargs: dict[str, Any], reduction: str
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the losses of all pieces, and their logits where they are made beforehand."""
        hidden = outputs.last_hidden_state
        smoothing = self.smoothing if reduction == "sum" else 0.0

        def logits_of(piece: Tensor) -> Tensor:
            with self._instead(dataclasses.replace(outputs, last_hidden_state=piece)):
                logits: Tensor = self._own(**kwargs).logits
            return logits

        def loss_of(logits: Tensor, wanted: Tensor) -> Tensor:
            return functional.cross_entropy(
                logits.float().flatten(0, 1), wanted, ignore_index=IGNORED, reduction=reduction,
                label_smoothing=smoothing,
            )  # fmt: skip

        def of_piece(piece: Tensor, wanted: Tensor) -> Tensor:
            return loss_of(logits_of(piece), wanted)

        pieces = hidden.reshape(1, -1, hidden.shape[-1]).chunk(self._pieces, dim=1)
        labels = targets.reshape(-1).chunk(self._pieces)
        if not torch.is_grad_enabled():
            return list(map(of_piece, pieces, labels)), []
        if not self._recomputed:  # torchtune's model makes all logits before their loss
            logits = [logits_of(piece) for piece in pieces]
            return list(map(loss_of, logits, labels)), logits
        several = zip(pieces, labels, strict=True)
        return [checkpoint(of_piece, *one, use_reentrant=False) for one in several], []

    @contextmanager
    def _instead(self, outputs: Any) -> Iterator[None]:
        """Let the transformer return these outputs."""
        modules = self._model._modules
        whole = modules[self._place]
        modules[self._place] = _Ran(whole, outputs)
        try:
            yield
        finally:
            modules[self._place] = whole


def pieces_of(model: nn.Module) -> InPieces | None:
    """Return what stands for the forward pass of the model, which may be wrapped, if it does."""
    _, transformer = surgery.transformer_of(model)
    forward: Any = transformer.forward
    return forward if isinstance(forward, InPieces) else None


class _Ran(nn.Module):
    """A transformer that has run: it returns what it returned, and has all else that it had."""

    def __init__(self, whole: Any, outputs: Any) -> None:
        super().__init__()
        self.__dict__["_whole"], self.__dict__["_outputs"] = whole, outputs

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_outputs"]

    def __getattr__(self, name: str) -> Any:
        if name == "decoder":  # OPT calls the stack in its transformer
            return self
        return getattr(self.__dict__["_whole"], name)


def _refuse_other_losses(model: Any) -> None:
    """Refuse a model whose loss is not the mean over its logits' tokens that is taken here.

    Raises:
        ValueError: what it is instead.
    """
    name, config = type(model).__name__, model.config.get_text_config()
    asks = inspect.unwrap(type(model).forward).__code__.co_names
    if "loss_function" not in asks or model.loss_function is not ForCausalLMLoss:
        raise ValueError(f"the loss of {name} is its own, not transformers' ForCausalLMLoss")
    for setting in _MORE:
        if getattr(config, setting, None):
            raise ValueError(f"{setting} of its config adds to the loss of {name}")
