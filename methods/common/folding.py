"""Putting modules in other ones' places, and whether a weight may take an adapter in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from methods.surgery import unwrap

if TYPE_CHECKING:
    from torch import nn


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put `new` in the place called `name`."""
    parent, _, key = name.rpartition(".")
    setattr(model.get_submodule(parent), key, new)


def refuse_unfoldable(model: nn.Module, names: Iterable[str]) -> None:
    """Check that an adapter may be added to the weights of the layers `names`.

    Raises:
        ValueError: a weight is shared with another module, or holds no plain numbers.
    """
    places: dict[int, list[str]] = {}
    for place, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), []).append(place)
    for name in names:
        weight = unwrap(model.get_submodule(name)).get_parameter("weight")
        if not weight.is_floating_point():
            raise ValueError(f"{name} is quantised ({weight.dtype}): it cannot take an adapter in; "
                             "a base of train.weights fp32, bf16 or fp16 can")  # fmt: skip
        if len(places.get(id(weight), [])) > 1:
            raise ValueError(f"{name} shares its weight with {places[id(weight)]}: one adapter "
                             "cannot be merged into both")  # fmt: skip
