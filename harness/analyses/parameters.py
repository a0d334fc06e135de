"""Which tensors of a run an analysis is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

    from harness.analyses.base import Subject

# All that has trained, head included; the same without head and pooler; what trains at the end.
Over = Literal["trained", "adapter", "trainable"]
MEANING = (
    "trained: all that has trained in the run, head included, frozen since or not; adapter: the "
    "same without head and pooler; trainable: what still trains at the end"
)


def tensors_over(subject: Subject, over: Over) -> dict[str, nn.Parameter]:
    """Return them by name, as far as they are still in the model; they may be none."""
    from methods import surgery

    model = subject.model
    named = {n: p for n, p in model.named_parameters() if n in subject.trained}
    if over == "trainable":
        return {n: p for n, p in named.items() if p.requires_grad}
    if over == "adapter":
        mine = {id(p) for p in subject.handle.parameters()}
        beside = {**surgery.head_parameters(model), **surgery.pooler_parameters(model)}
        return {n: p for n, p in named.items() if id(p) in mine or n not in beside}
    return named


@contextmanager
def only_these_train(model: nn.Module, chosen: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach these tensors alone; what trained before trains again afterwards."""
    before = [(p, p.requires_grad) for p in model.parameters()]
    ids = {id(p) for p in chosen}
    try:
        for parameter, _ in before:
            parameter.requires_grad_(id(parameter) in ids)
        yield
    finally:
        for parameter, trains in before:
            parameter.requires_grad_(trains)
