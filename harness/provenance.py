"""Where a number comes from: the environment, the model, the data, the command."""

from __future__ import annotations

from pydantic import Field

from harness.part import Part


class Gpu(Part):
    """The GPU of the run, as torch describes it."""

    name: str
    memory: int
    capability: str
    count: int
    cuda: str | None


class GitState(Part):
    """The checkout that the code came from."""

    commit: str
    dirty: bool


class Environment(Part):
    """What a number depends on beside the code and the settings."""

    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(
        default_factory=dict, description="plug-ins in use: name -> where it comes from"
    )
    platform: str = ""
    cpu: str = ""
    cores: int | None = None
    host: str = Field("", description="hash of the host's name")
    variables: dict[str, str] = Field(default_factory=dict)
    gpu: Gpu | None = None
    git: GitState | None = None


class Provenance(Part):
    """Which model it was: its source, and what pins it."""

    config: str | None = None
    source: str | None = None
    weights: str | None = None
    tokenizer: str | None = None
    hub: str | None = None
    revision: str | None = None
    commit: str | None = None
    package: str | None = None
    version: str | None = None
    path: str | None = None
    sha256: str | None = None
    config_sha256: str | None = Field(None, description="of config.json")
    tokenizer_sha256: str | None = Field(None, description="of the tokenizer's files, by name")
    folder: str | None = None
    redrawn: list[str] | None = Field(
        None, description="tensors of the head that the weights have in another size: drawn anew"
    )


class Invocation(Part):
    """How the run was asked for: what changed the suite's file."""

    command: str = Field(description="the whole command line")
    overrides: list[str] = Field(default_factory=list, description="key=value, in their order")


class Data(Part):
    """Which rows were used."""

    source: str
    fingerprint: str
    protocol: str = ""
    train_rows: int
    evaluation_rows: dict[str, int]
    evaluation: str = Field("logits", description="how predictions are made")
    notes: list[str] = Field(default_factory=list)
