"""Numbers as someone writes them: `true` is not 1, text is not what it spells, none is infinite."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class ExactNumbers(BaseModel):
    """A model whose fields for numbers take numbers alone; pydantic's own would convert."""

    model_config = ConfigDict(allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_stand_ins(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = set(_kinds(cls.model_fields[info.field_name or ""].annotation))
        if kinds & {int, float} and not any(map(_takes_text, kinds)):
            for item in _items(value):
                if isinstance(item, bool) and bool not in kinds:
                    raise PydanticCustomError("number_type", "Input should be a valid number")
                if isinstance(item, str) and spells_a_number(item):
                    raise PydanticCustomError(
                        "number_type", "Input should be a valid number, not text that spells one"
                    )
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the classes that a value, or an item of a list, may have."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _kinds(inner[0])
    elif origin is Literal:
        yield from map(type, inner)
    elif origin in (Union, types.UnionType, list, tuple):
        for each in inner:
            yield from _kinds(each)
    else:
        yield annotation


def _takes_text(kind: Any) -> bool:
    """Tell whether text may be meant as text; of what is not known here, it may."""
    if kind in (int, float, bool, type(None), Ellipsis):
        return False
    return not (isinstance(kind, type) and issubclass(kind, BaseModel))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _items(each)
    else:
        yield value


def spells_a_number(text: str) -> bool:
    """Tell whether Python would read a number here."""
    try:
        float(text)
    except ValueError:
        return False
    return True
