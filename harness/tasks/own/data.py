"""What a suite says of a user's own data."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from harness.tasks.generation import Generation
from harness.tasks.own.functions import is_function
from harness.tasks.own.kinds import KINDS, get_kind
from harness.tasks.own.labels import spelled
from methods.numbers import ExactNumbers
from methods.wording import nearest


def _unset(value: Any) -> bool:
    return value is None


def _optional(description: str, **schema: Any) -> Any:
    """Return a field that is in no dump, and so in no cell's key, while nothing is said.

    `schema` is for editors what validators say here.
    """
    return Field(None, description=description, exclude_if=_unset, json_schema_extra=schema or None)


class OwnData(ExactNumbers):
    """`{kind: classification, path: train.csv, eval: 0.1, text: question, label: category}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(description="what is learned: classification, regression and so on")
    path: str = Field(description="a file, a folder or a zip; with config, a data set of the hub")
    config: str | None = _optional("of a data set of the hub; default where it has none")
    eval: str | float | None = _optional(
        "rows to evaluate on: a file, a part (validation, test), or a share of the training rows",
        anyOf=[{"type": ["string", "null"]},
               {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}],
    )  # fmt: skip
    text: str | None = _optional("column of the text")
    pair: str | None = _optional("column of a second text")
    label: str | None = _optional("column of what is to be found")
    image: str | None = _optional("column of the picture")
    labels: tuple[str, ...] | None = _optional(
        "the classes in the order of their numbers; null: those of the training rows",
        anyOf=[{"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 2,
                "uniqueItems": True}, {"type": "null"}],
    )  # fmt: skip
    metrics: tuple[str, ...] | None = _optional(
        "by name, or MODULE:FUNCTION of (references, predictions); the first one is the main one",
        anyOf=[{"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
               {"type": "null"}],
    )  # fmt: skip

    generation: Generation | None = _optional("of answers, where metrics are of generated texts")

    @property
    def of_kind(self) -> Any:
        """What the kind decides, a `Kind`."""
        return get_kind(self.kind)

    @property
    def columns(self) -> dict[str, str]:
        """The column of each role that the kind has, and of each optional one that is named."""
        named = {role: getattr(self, role) or usual for role, usual in self.of_kind.roles.items()}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def scored(self) -> tuple[str, ...]:
        """The metrics, the main one first."""
        return self.metrics or tuple(self.of_kind.usual_metrics)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KINDS:
            raise ValueError(f"unknown kind {value!r}; {nearest(value, KINDS)}")
        return value

    @field_validator("eval")
    @classmethod
    def _a_share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError(f"{value:g} is no share between 0 and 1 of the training rows")
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        labels = [spelled(each) for each in value]
        if None in labels or len(set(labels)) < max(2, len(labels)):
            raise ValueError("at least two words or numbers, none empty, none twice")
        return labels

    @field_validator("metrics")
    @classmethod
    def _of_the_kind(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        kind = info.data.get("kind")
        if value is None or kind is None:
            return value
        known = get_kind(kind).known_metrics
        for name in value:
            if name not in known and not is_function(name):
                raise ValueError(f"unknown metric {name!r} of a {kind}; {nearest(name, known)}")
        if len(set(value)) < max(1, len(value)):
            raise ValueError("at least one metric, and none twice")
        return value

    @model_validator(mode="after")
    def _fits_the_kind(self) -> OwnData:
        roles = self.of_kind.roles
        for role in ("text", "pair", "label", "image"):
            given = getattr(self, role)
            if given is not None and role not in roles:
                raise ValueError(
                    f"{role} {given!r} means nothing for the kind {self.kind}; it takes "
                    f"{', '.join(roles)}"
                )
        if self.labels is not None and not self.of_kind.has_classes:
            raise ValueError(f"labels: a {self.kind} has no classes")
        refused = self.of_kind.refused(self)
        if refused is not None:
            raise ValueError(refused)
        return self
