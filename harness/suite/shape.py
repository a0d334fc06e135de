"""A task that is a bare shape: all that a forecast needs, without any data."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt, field_validator

from harness.errors import UserError
from harness.suite.frozen import Frozen
from harness.tasks import families
from methods.wording import nearest

# What depends on the family: which of these it takes is its `shape_keys`.
SAID_OF_SHAPES = frozenset({"length", "lengths", "target_length", "mask", "num_labels"})


class Shape(Frozen):
    """`{family: causal_lm, batch_size: 4, length: 650, mask: true}` under a task's `shape`."""

    family: str
    batch_size: PositiveInt | None = Field(None, description="the same as the task's batch_size")
    length: PositiveInt | None = Field(None, description="padded tokens, the task's max_length")
    lengths: tuple[PositiveInt, ...] = Field(
        (), description="padded lengths of consecutive steps, where they vary; repeated"
    )
    target_length: PositiveInt | None = Field(None, description="decoder's labels; null: length")
    mask: bool = Field(True, description="batches are padded: the attention mask has zeros")
    num_labels: PositiveInt = 2
    evaluation: bool = Field(
        True,
        description="batches are evaluated, too, between steps",
        exclude_if=lambda value: value is True,
    )

    @field_validator("family")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in families.names():
            raise ValueError(f"unknown family {value!r}; {nearest(value, families.names())}")
        return value

    def check(self, where: str) -> None:
        """Refuse what was written down and means nothing for the family, a default too.

        Raises:
            UserError: naming the key, after `where`.
        """
        allowed = families.get_family(self.family).shape_keys
        for key in sorted(SAID_OF_SHAPES & self.model_fields_set - allowed):
            if getattr(self, key) not in (None, ()):
                raise UserError(
                    f"{where}: shape.{key} = {getattr(self, key)!r} means nothing for the family "
                    f"{self.family}; it takes {', '.join(sorted(allowed))}"
                )

    def settings(self) -> dict[str, Any]:
        """Return the training settings that the shape fixes."""
        settings: dict[str, Any] = {"padding": "max"}
        if self.batch_size:
            settings["batch_size"] = self.batch_size
        longest = max((*self.lengths, self.length or 0))
        if longest:
            settings["max_length"] = longest
        return settings

    @property
    def label(self) -> str:
        """Name in paths and tables, such as `causal_lm-650`."""
        longest = max((*self.lengths, self.length or 0))
        return f"{self.family}-{longest}" if longest else self.family
