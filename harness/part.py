"""The base of everything that is kept as JSON or YAML."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of something kept as JSON or YAML: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")
