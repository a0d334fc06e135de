"""The grid of a suite: lists of values for training settings, each value of its setting's type."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, create_model

from harness.models.attention import spelled
from harness.suite.frozen import Frozen
from harness.suite.settings import OLD_OUTPUTS, TrainSettings, renamed


def _lists() -> dict[str, Any]:
    """Return a field per training setting: at least one of its values."""
    lists: dict[str, Any] = {}
    for name, field in TrainSettings.model_fields.items():
        value: Any = Annotated.__class_getitem__((field.annotation, *field.metadata, name))  # type: ignore[attr-defined]
        lists[name] = (tuple[value, ...], Field((), min_length=1, description=field.description))
    return lists


# What a grid may hold; the schema for editors is this model's.
GridLists = create_model("GridLists", __base__=Frozen, **_lists())


def _checked(value: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Refuse what no training setting takes; values and their order stay as written.

    A pinned kernel is one word here, too, since paths and tables show it.
    """
    GridLists.model_validate({name: each for name, each in value.items() if name != OLD_OUTPUTS})
    for each in value.get(OLD_OUTPUTS, []):
        renamed({OLD_OUTPUTS: each})
    return {name: list(map(spelled, values)) if name == "attention" else values
            for name, values in value.items()}  # fmt: skip


# Setting -> values; all combinations become cells, in the order of the file.
Grid = Annotated[dict[str, list[Any]], AfterValidator(_checked)]
