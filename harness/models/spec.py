"""Where a model comes from, as a suite says it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.models.catalogue import CATALOGUE, find
from harness.paths import check_name
from methods.wording import nearest

SOURCES = ("hub", "path", "package", "config")
Names = Annotated[tuple[str, ...] | None, Field(min_length=1)]


def _absent(value: object) -> bool:
    return value is None


class ModelParts(BaseModel):
    """Where a model keeps its parts, in place of what its structure says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: str | None = Field(
        None, exclude_if=_absent, description="pattern of the full names of transformer layers"
    )
    head: Names = Field(None, exclude_if=_absent, description="modules that are the task head")
    pooler: Names = Field(None, exclude_if=_absent, description="modules in front of the head")
    inputs: Names = Field(
        None, exclude_if=_absent, description="modules that come before the first layer"
    )
    attention: Names = Field(
        None, exclude_if=_absent, description="linear layers of attention, by ends of their names"
    )
    qv: Names = Field(None, exclude_if=_absent, description="what targets: qv is, likewise")
    six: Names = Field(None, exclude_if=_absent, description="what targets: six is, likewise")

    @field_validator("layers")
    @classmethod
    def _pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _any(self) -> ModelParts:
        if not self.model_dump():
            raise ValueError(f"states none of {', '.join(type(self).model_fields)}")
        return self


class ModelSpec(BaseModel):
    """Where a model comes from: exactly one of hub, path, package and config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str | None = Field(None, description="repository on the Hugging Face hub")
    path: str | None = Field(None, description="folder with config.json and safetensors")
    package: str | None = Field(None, description="installed package that carries weights")
    config: str | None = Field(None, description="catalogued architecture, random weights")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="pin of the weights: refuse any others"
    )
    label: str | None = Field(None, pattern=r"^[\w.-]+$", description="name in paths and tables")

    parts: ModelParts | None = Field(
        None, exclude_if=_absent, description="where its parts are, if not where they are found"
    )

    @field_validator("label")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        return value if value is None else check_name(value)

    @field_validator("config")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in CATALOGUE:
            raise ValueError(f"unknown architecture {value!r}; {nearest(value, CATALOGUE)}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(SOURCES)}; found {names}")
        if self.revision and not self.hub:
            raise ValueError("revision goes with hub")
        if self.sha256 and self.config:
            raise ValueError("sha256 pins weights, and a config has none")
        return self

    def catalogued(self) -> ModelSpec:
        """Return the catalogue's config of a model of the hub, under this model's name.

        It is this one where it is of no hub, or the catalogue does not have it.
        """
        name = find(self.hub) if self.hub else None
        return ModelSpec(config=name, label=self.name, parts=self.parts) if name else self

    @property
    def name(self) -> str:
        """Name in paths and tables: the label, else the last part of the source."""
        source = self.hub or self.path or self.package or self.config or ""
        return self.label or source.rstrip("/").rpartition("/")[2]
