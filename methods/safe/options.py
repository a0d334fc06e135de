"""Pieces of SAFE's options that others of its files read."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, PositiveFloat

from methods.numbers import ExactNumbers

FeatureSource = Literal["model", "local"]


class Quantile(ExactNumbers):
    """This share of the units is frozen at T - t_f, whatever the threshold: `{quantile: 0.51}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantile: float = Field(ge=0, le=1)


class CacheLimits(ExactNumbers):
    """Where the outputs of a frozen prefix are kept, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gib: PositiveFloat = Field(8.0, description="bound; a prefix that needs more is not cached")
    on: Literal["memory", "disk"] = Field("memory", description="host memory or a temporary file")
