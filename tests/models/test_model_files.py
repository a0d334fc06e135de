"""The hub as a source of weights, on a stand-in for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import build

from harness.errors import UserError
from harness.models import files
from harness.models.spec import ModelSpec


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A hub with one repository: `main` has pickled weights, the bot's request safetensors."""
    import huggingface_hub

    saved = tmp_path / "saved"
    build().bert.save_pretrained(saved)
    state: dict[str, Any] = {"asked": [], "author": "SFconvertbot"}
    main, converted = tmp_path / "c0ffee", tmp_path / "f00d"
    shutil.copytree(saved, converted)
    shutil.copytree(saved, main, ignore=shutil.ignore_patterns("*.safetensors"))

    def snapshot_download(repo: str, revision: str | None = None, **_: Any) -> str:
        state["asked"].append(revision)
        return str(converted if revision == "refs/pr/7" else main)

    class Request:
        title = "Adding `safetensors` variant of this model"
        status = "open"
        git_reference = "refs/pr/7"

        @property
        def author(self) -> str:
            return str(state["author"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "get_repo_discussions", lambda *_, **__: [Request()])
    files._snapshot.cache_clear()
    return state


def test_hub_uses_the_bots_conversion_where_main_is_pickled(hub: dict[str, Any]) -> None:
    folder = files.model_folder(ModelSpec(hub="org/pickled"))
    assert folder.name == "f00d"
    assert hub["asked"] == [None, "refs/pr/7"]
    assert files.provenance(ModelSpec(hub="org/pickled")).commit == "f00d"


def test_hub_does_not_trust_anybodys_conversion(hub: dict[str, Any]) -> None:
    hub["author"] = "somebody"
    with pytest.raises(UserError, match=r"no safetensors at main.*set model\.revision"):
        files.model_folder(ModelSpec(hub="org/pickled"))


def test_hub_takes_a_given_revision_as_it_is(hub: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no safetensors at v1"):
        files.model_folder(ModelSpec(hub="org/pickled", revision="v1"))
    assert hub["asked"] == ["v1"]


def test_offline_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    files._snapshot.cache_clear()
    with pytest.raises(UserError, match=r"model.hub = org/none: .*model\.path=FOLDER"):
        files.model_folder(ModelSpec(hub="org/none"))
