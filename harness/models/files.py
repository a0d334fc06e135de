"""Where a model's files are: a folder, an installed package, or the cache of the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hub as hugging_face
from harness.errors import UserError
from harness.models.catalogue import CATALOGUE
from harness.paths import user_path
from harness.provenance import Provenance

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec

# Config, tokenizer and weights at the top of a repository; no pickles, no other frameworks.
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
_SUBFOLDERS = ["*/*"]
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken")
TOKENIZER_FILES = (
    *VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
# peft's; where it lies beside weights, transformers puts the adapter into the model it loads.
_ADAPTER = "adapter_config.json"
# The hub's own bot opens pull requests with a safetensors copy of pickled weights.
_BOT, _BOT_TITLE = "SFconvertbot", "Adding `safetensors` variant of this model"


def check_files(spec: ModelSpec) -> None:
    """Check what can be checked on this machine, without loading: folder, package, pinned weights.

    Raises:
        UserError: the source is missing, has no safetensors, or other weights than pinned.
    """
    if not spec.hub and not spec.config:
        model_folder(spec)


def model_folder(spec: ModelSpec) -> Path:
    """Return the folder with the model's files, downloaded first where it is on the hub.

    Raises:
        UserError: the source is missing or cannot be reached, has no safetensors (pickled weights
            are never read), an adapter beside them, or other weights than the pinned ones.
    """
    folder = local_folder(spec) or _snapshot(str(spec.hub), spec.revision)
    refuse_adapter(folder)
    if not any(folder.glob("*.safetensors")):
        raise UserError(_no_safetensors(f"model {spec.name}", folder))
    if spec.sha256 is not None:
        sha256 = weights_sha256(folder)
        if sha256 != spec.sha256:
            raise UserError(
                f"model {spec.name}: its weights have sha256 {sha256}, the suite pins "
                f"{spec.sha256}; correct the pin, or get the weights that were meant"
            )
    return folder


def refuse_adapter(folder: Path) -> None:
    """Refuse a folder of which nobody can say whether its adapter belongs to the base model.

    Raises:
        UserError: peft's adapter lies in it.
    """
    if (folder / _ADAPTER).exists():
        raise UserError(
            f"{folder / _ADAPTER}: an adapter beside the weights of a base model; copy the folder "
            "without it, or save the model with the adapter merged (peft's merge_and_unload)"
        )


def local_folder(spec: ModelSpec) -> Path | None:
    """Return the folder of a `path` or `package` model, None for the other sources."""
    if spec.package:
        return _package_folder(spec.package)
    if spec.path is None:
        return None
    folder = user_path(spec.path)
    if not (folder / "config.json").is_file():
        what = "no such folder" if not folder.is_dir() else "no config.json in it"
        raise UserError(f"model.path = {spec.path}: {what}")
    return folder


def provenance(spec: ModelSpec, *, tokenizer: bool = True) -> Provenance:
    """Say for the record which model it was: source, version or commit, sha256 of the weights.

    `tokenizer` says that one was used; a config-only model's is made up.
    """
    if spec.config:
        entry = CATALOGUE[spec.config]
        return Provenance(
            config=spec.config,
            source=entry.source,
            weights="random",
            tokenizer="words of the data" if tokenizer else None,
        )
    folder = model_folder(spec)
    rest = {
        "config_sha256": _sha256(folder, ["config.json"]),
        "tokenizer_sha256": _sha256(folder, TOKENIZER_FILES),
    }
    if spec.hub:
        # The hub's cache names a snapshot's folder after the commit.
        revision = spec.revision or "main"
        return Provenance(hub=spec.hub, revision=revision, commit=folder.name, **rest)
    facts = {"sha256": weights_sha256(folder), "folder": folder.name, **rest}
    if spec.package:
        return Provenance(package=spec.package, version=package_version(spec.package), **facts)
    return Provenance(path=spec.path, **facts)


def weights_sha256(folder: Path) -> str:
    """Return the sha256 over the folder's safetensors files in name order."""
    return _sha256(folder, ["*.safetensors"])


def _sha256(folder: Path, patterns: Iterable[str]) -> str:
    """Return the sha256 over the folder's files of these names, in their order."""
    found = sorted({f for pattern in patterns for f in folder.glob(pattern) if f.is_file()})
    return _digest(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in found))


@cache
def _digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _, _ in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _no_safetensors(what: str, folder: Path) -> str:
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        return (
            f"{what}: only pickled weights ({', '.join(pickled)}), which are never read; convert "
            "them with model.save_pretrained(FOLDER), which writes model.safetensors"
        )
    return f"{what}: no *.safetensors in {folder}"


def _package_folder(package: str) -> Path:
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        raise UserError(
            f"model.package = {package}: not installed; pip install {package}"
        ) from None
    folders = {Path(str(file.locate())).parent for file in listed if file.name == "config.json"}
    weight_folders = sorted(folder for folder in folders if any(folder.glob("*.safetensors")))
    if not weight_folders:
        raise UserError(
            f"model.package = {package}: no folder with config.json and safetensors in it"
        )
    return weight_folders[0]


@cache
def _snapshot(hub: str, revision: str | None) -> Path:
    """Download a repository's files into the hub's cache; with HF_HUB_OFFLINE only look there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    hugging_face.trouble()  # where it does not answer, only the cache is looked at

    def download(at: str | None) -> Path:
        return Path(
            snapshot_download(
                hub, revision=at, allow_patterns=_PATTERNS, ignore_patterns=_SUBFOLDERS
            )
        )

    try:
        folder = download(revision)
        if revision is None and not any(folder.glob("*.safetensors")):
            converted = _converted_revision(hub)
            folder = download(converted) if converted else folder
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise unreachable(hub, error) from None
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            f"model.hub = {hub}: no safetensors at {revision or 'main'}, and pickled weights are "
            "never read; set model.revision to one that has them (refs/pr/N of a conversion)"
        )
    return folder


def _converted_revision(hub: str) -> str | None:
    """Return the revision in which the hub's bot put a safetensors copy of pickled weights."""
    from huggingface_hub import get_repo_discussions

    for pull in get_repo_discussions(hub, author=_BOT, discussion_type="pull_request"):
        # Anybody may open a pull request with this title; only the bot's is what it says.
        if pull.author == _BOT and pull.title == _BOT_TITLE and pull.status == "open":
            revision: str | None = pull.git_reference
            return revision
    return None


def unreachable(hub: str, error: Exception) -> UserError:
    """Say in one line why a repository of the hub cannot be had, and what else there is."""
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    trouble = hugging_face.trouble()
    reason = f"{trouble}, and it is not in the cache" if trouble else said
    return UserError(
        f"model.hub = {hub}: {reason} (check the name, the network, HF_HUB_OFFLINE and, for gated "
        "models, HF_TOKEN; without the hub use model.path=FOLDER, model.package=NAME or "
        "model.config=NAME)"
    )
