"""Models from a hub, a folder, an installed package, or a config of the catalogue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.catalogue import CATALOGUE
from harness.errors import UserError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

TaskHead = Literal[
    "classification", "regression", "causal_lm", "question_answering", "image", "seq2seq"
]
_AUTO_CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "causal_lm": "AutoModelForCausalLM",
    "question_answering": "AutoModelForQuestionAnswering",
    "image": "AutoModelForImageClassification",
    "seq2seq": "AutoModelForSeq2SeqLM",
}
_SOURCES = ("hub", "path", "package", "config")


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

    @field_validator("config")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in CATALOGUE:
            raise ValueError(f"unknown architecture {value!r}; {nearest(value, CATALOGUE)}")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(_SOURCES)}; found {found}")
        if self.revision and not self.hub:
            raise ValueError("revision goes with hub")
        if self.sha256 and self.config:
            raise ValueError("sha256 pins weights, and a config has none")
        return self

    @property
    def name(self) -> str:
        """Name in paths and tables: the label, else the last part of the source."""
        source = self.hub or self.path or self.package or self.config or ""
        return self.label or source.rstrip("/").rpartition("/")[2]


def check(spec: ModelSpec) -> None:
    """Check what can be checked on this machine, without loading: folder, package, pinned weights.

    Raises:
        UserError: the source is missing, has no safetensors, or other weights than pinned.
    """
    folder = local_folder(spec)
    if folder is not None:
        weights_sha256(folder, spec.sha256)


def local_folder(spec: ModelSpec) -> Path | None:
    """Return the folder of a `path` or `package` model, None for the other sources."""
    if spec.package:
        return _package_folder(spec.package)
    if spec.path is None:
        return None
    folder = Path(spec.path)
    if not (folder / "config.json").is_file():
        what = "no such folder" if not folder.is_dir() else "no config.json in it"
        raise UserError(f"model.path = {spec.path}: {what}")
    return folder


def _package_folder(package: str) -> Path:
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        raise UserError(
            f"model.package = {package}: not installed; pip install {package}"
        ) from None
    folders = {Path(str(file.locate())).parent for file in listed if file.name == "config.json"}
    found = sorted(folder for folder in folders if any(folder.glob("*.safetensors")))
    if not found:
        raise UserError(
            f"model.package = {package}: no folder with config.json and safetensors in it"
        )
    return found[0]


def weights_sha256(folder: Path, pin: str | None) -> str:
    """Return the sha256 over the folder's safetensors files in name order, checked against `pin`.

    Raises:
        UserError: there are none (pickled weights are never read), or they are not the pinned ones.
    """
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise UserError(f"{folder}: no safetensors in it; pickled weights are not read")
    digest = hashlib.sha256()
    for shard in shards:
        with shard.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    found = digest.hexdigest()
    if pin is not None and found != pin:
        raise UserError(f"{folder}: weights have sha256 {found}, the suite pins {pin}")
    return found


def build_config(spec: ModelSpec) -> Any:
    """Return the transformers config of the model, without weights."""
    from transformers import AutoConfig

    if spec.config:
        entry = CATALOGUE[spec.config]
        return AutoConfig.for_model(entry.model_type, **entry.config)
    source, options = _source(spec)
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise _unreachable(spec, error) from None


def load_model(
    spec: ModelSpec,
    *,
    task_head: TaskHead,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    seed: int,
) -> nn.Module:
    """Load the model with a head for the task.

    Weights that the source lacks (the head; all of a config-only model) are drawn from `seed`, so
    they are the same for every method.

    Raises:
        UserError: the source cannot be reached, or its weights are not the pinned ones.
    """
    import torch
    import transformers

    config = build_config(spec)
    _set_head(config, task_head, num_labels)
    auto = getattr(transformers, _AUTO_CLASSES[task_head])
    torch.manual_seed(seed)
    options: dict[str, Any] = {"attn_implementation": attention, "dtype": dtype}
    if spec.config:
        model: nn.Module = auto.from_config(config, trust_remote_code=False, **options)
        return model
    check(spec)
    source, where = _source(spec)
    with _quiet(transformers):
        try:
            model = auto.from_pretrained(
                source, config=config, use_safetensors=True, trust_remote_code=False,
                **where, **options,
            )  # fmt: skip
        except OSError as error:
            raise _unreachable(spec, error) from None
    if spec.hub and spec.sha256:
        weights_sha256(Path(_snapshot(spec)), spec.sha256)
    return model


def _set_head(config: Any, task_head: TaskHead, num_labels: int) -> None:
    if task_head in {"classification", "regression", "image"}:
        config.num_labels = num_labels
        kind = "regression" if task_head == "regression" else "single_label_classification"
        config.problem_type = kind
    if getattr(config, "pad_token_id", None) is None:
        # Decoder-only models find the last real token by the padding id; they have none.
        end = getattr(config, "eos_token_id", None)
        config.pad_token_id = end[0] if isinstance(end, list) else end if end is not None else 0
    config.use_cache = False


class _quiet:
    """Keep transformers from warning that the head is new: it is meant to be."""

    def __init__(self, transformers: Any) -> None:
        self._logging = transformers.utils.logging

    def __enter__(self) -> None:
        self._level = self._logging.get_verbosity()
        self._logging.set_verbosity_error()
        self._logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self._logging.set_verbosity(self._level)


def _source(spec: ModelSpec) -> tuple[str, dict[str, Any]]:
    folder = local_folder(spec)
    if folder is not None:
        return str(folder), {"local_files_only": True}
    assert spec.hub is not None
    return spec.hub, {"revision": spec.revision} if spec.revision else {}


def _unreachable(spec: ModelSpec, error: Exception) -> UserError:
    where = f"model.hub = {spec.hub}" if spec.hub else f"model {spec.name}"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = "; without the hub use model.path=FOLDER, model.package=NAME or model.config=NAME"
    return UserError(f"{where}: {reason}{hint if spec.hub else ''}")


def _snapshot(spec: ModelSpec) -> str:
    from huggingface_hub import snapshot_download

    found: str = snapshot_download(
        str(spec.hub), revision=spec.revision, local_files_only=True,
        allow_patterns=["*.safetensors"],
    )  # fmt: skip
    return found


def load_tokenizer(spec: ModelSpec, texts: Iterable[str]) -> Any:
    """Load the model's tokenizer; a config-only model gets a word-level one made from `texts`."""
    if spec.config:
        from harness.words import word_tokenizer

        return word_tokenizer(build_config(spec), texts)
    from transformers import AutoTokenizer

    source, where = _source(spec)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **where)
    except (OSError, ValueError) as error:
        raise _unreachable(spec, error) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def provenance(spec: ModelSpec) -> dict[str, Any]:
    """Say for the record which model it was: source, version or revision, sha256 of weights."""
    if spec.config:
        return {"config": spec.config, "weights": "random", "tokenizer": "words of the data"}
    if spec.hub:
        return {"hub": spec.hub, "revision": spec.revision or "main", "commit": _commit(spec)}
    folder = local_folder(spec)
    assert folder is not None
    facts = {"sha256": weights_sha256(folder, None), "folder": folder.name}
    if spec.package:
        return {"package": spec.package, "version": package_version(spec.package), **facts}
    return {"path": spec.path, **facts}


def _commit(spec: ModelSpec) -> str | None:
    """Return the commit that the hub's cache resolved the revision to."""
    from transformers.utils import cached_file

    config = cached_file(
        str(spec.hub), "config.json", revision=spec.revision, local_files_only=True
    )
    parts = Path(config).parts if config else ()
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def config_facts(spec: ModelSpec) -> str:
    """Return the config as canonical JSON, for keys of caches."""
    return json.dumps(build_config(spec).to_dict(), sort_keys=True, default=str)
