"""Answers without values: transformers' own search, on prompts that say nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from harness.models.positions import refuse_beyond
from harness.tasks.families import get_family
from harness.training.evaluate import predict_batch

if TYPE_CHECKING:
    from torch import device as Device
    from torch import nn

    from harness.shapes import BatchShape
    from harness.simulation.request import Request
    from harness.training.batches import Batch

# Forward passes of a search that are run, at its beginning and at its end. In those between them a
# cache grows by one token, and nothing is larger than in the last ones.
RUN = 2


def answer_batch(
    request: Request, model: nn.Module, shape: BatchShape, prompts: Batch, device: Device
) -> None:
    """Generate answers to prompts of this shape, all as long as they may be.

    `answers.py` says when the search goes on. A real one may end earlier, and then needs less.

    Raises:
        UserError: the model has no positions for prompts and answers.
    """
    from transformers.utils import logging

    family, generation = get_family(request.family), request.generation
    assert generation is not None
    needed = family.positions(shape, generation)
    refuse_beyond(model, needed, request.model.name, generation)
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it takes prompts without values for padded on the wrong side
    try:
        with _skipping(model, generation.max_new_tokens):
            predict_batch(model, family, prompts, request.train, device, generation)
    finally:
        logging.set_verbosity(level)


@contextmanager
def _skipping(model: Any, count: int) -> Iterator[None]:
    """Let the passes between the first and the last of `count` only make their cache longer."""
    own, run, calls = vars(model).get("forward"), model.forward, 0
    made: Any = None  # the class of what the model puts out

    @wraps(run)
    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls, made
        calls += 1
        cache = kwargs.get("cache") or kwargs.get("past_key_values")
        if cache is None or calls <= RUN or calls > count - RUN:
            out = run(*args, **kwargs)
            made = type(out)
            return out
        name = "cache" if kwargs.get("cache") is not None else "past_key_values"
        return made(logits=_one_token_later(model, cache), **{name: cache})

    model.forward = forward
    try:
        yield
    finally:
        if own is None:
            del model.forward  # its class has the original
        else:
            model.forward = own


def _one_token_later(model: Any, cache: Any) -> Any:
    """Add a token without values to the cache, and return its logits (B, 1, V)."""
    own = getattr(cache, "self_attention_cache", cache)
    for index, layer in enumerate(own.layers):
        keys, values = (t.new_empty((*t.shape[:-2], 1, t.shape[-1])) for t in
                        (layer.keys, layer.values))  # fmt: skip
        own.update(keys, values, index)
    head = model.get_output_embeddings().weight
    return head.new_empty((len(own.layers[0].keys), 1, len(head)))
