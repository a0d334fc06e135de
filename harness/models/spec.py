"""Where a model comes from, as a suite says it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.models.catalogue import CATALOGUE, SAME
from harness.paths import check_name
from methods.wording import nearest

SOURCES = ("hub", "path", "package", "config")


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
        names = SAME | {entry.source: name for name, entry in CATALOGUE.items() if entry.source}
        if self.hub not in names:
            return self
        return ModelSpec(config=names[self.hub], label=self.name)

    @property
    def name(self) -> str:
        """Name in paths and tables: the label, else the last part of the source."""
        source = self.hub or self.path or self.package or self.config or ""
        return self.label or source.rstrip("/").rpartition("/")[2]
