"""Two revisions of a repository, forecast beside each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.compare import app
from harness.comparing.revision import tree_of
from harness.env import ROOT
from harness.errors import UserError

SUITE = """\
name: revised
model: {config: tiny-bert}
tasks: [{shape: {family: classification, batch_size: 4, length: 8}}]
methods: [METHOD]
"""
PLUGIN = """\
from torch import nn
from methods import Handle, Method, surgery

class Wide(Method):
    name = "wide"

    def attach(self, model, plan):
        surgery.freeze_base(model, plan)
        like = model.get_input_embeddings().weight
        model.register_parameter("wide", nn.Parameter(like.new_zeros(SIZE)))
        return Handle(model, {"wide": model.wide}, {})

METHODS = {"wide": Wide}
"""


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=os.environ | who, capture_output=True, text=True, check=True)
    return done.stdout


def repository(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    git(folder, "init", "-q")
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "state")


def compared(*arguments: object, file: Path) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json", str(file)])
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(file.read_text())
    return told


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """Return a repository whose plug-in grew by 512 floats in its second commit."""
    folder = repository(tmp_path / "plugins")
    (folder / "suite.yaml").write_text(SUITE.replace("METHOD", "wide"))
    for size in ("512", "1024"):
        (folder / "wider.py").write_text(PLUGIN.replace("SIZE", size))
        commit(folder)
        if size == "512":
            (folder / "data").symlink_to("/nowhere/else")  # as users have them
    return folder


def test_a_plugin_of_two_revisions(tmp_path: Path, plugins: Path) -> None:
    before = git(plugins, "status", "--porcelain"), sorted((plugins / ".git").iterdir())
    told = compared("--forecast", plugins / "suite.yaml", "--plugin", "wider", "--rev", "HEAD~1",
                    "--repo", plugins, file=tmp_path / "all.json")  # fmt: skip
    assert told["before"]["name"] == "revision HEAD~1"
    assert told["after"]["name"] == "the working tree"
    assert list(told["environment"]) == ["code"]
    [cell] = told["cells"]
    assert cell["split"]["weights.adapter"]["moved"] == 512 * 4
    assert {"category": "weights.adapter", "module": "wide", "before": 2048, "after": 4096,
            "moved": 2048} in cell["places"]  # fmt: skip
    assert (git(plugins, "status", "--porcelain"), sorted((plugins / ".git").iterdir())) == before


def test_headroom_of_two_revisions(tmp_path: Path) -> None:
    folder = repository(tmp_path / "headroom")
    for name in ("harness", "methods"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    commit(folder)
    changed = folder / "harness" / "simulation" / "step_forecast.py"
    text, line = changed.read_text(), '"at_rest": training.allocated,'
    assert text.count(line) == 1
    changed.write_text(text.replace(line, '"at_rest": training.allocated + 4096,'))
    commit(folder)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("METHOD", "bitfit"))
    told = compared("--forecast", tmp_path / "suite.yaml", "--rev", "HEAD~1", "--rev", "HEAD",
                    "--repo", folder, file=tmp_path / "all.json")  # fmt: skip
    [cell] = told["cells"]
    assert cell["sizes"]["at rest"]["moved"] == 4096
    assert cell["sizes"]["peak"]["moved"] == 0
    assert told["after"]["name"] == "revision HEAD"


def test_a_tree_goes_away_again(plugins: Path) -> None:
    with tree_of(plugins, "HEAD") as tree:
        assert (tree.folder / "data").is_symlink()
    with tree_of(plugins, "HEAD~1") as tree:
        assert "512" in (tree.folder / "wider.py").read_text()
        assert not tree.is_headroom
    assert not tree.folder.exists()


@pytest.mark.parametrize(
    ("folder", "revision", "said"),
    [
        ("plugins", "nowhere", "--rev nowhere: .*plugins: Needed a single revision"),
        ("plugins", "--all", "--rev --all: "),
        (".", "HEAD", "not a git repository"),
    ],
)
def test_a_revision_that_is_none_is_one_line(
    tmp_path: Path, plugins: Path, folder: str, revision: str, said: str
) -> None:
    with pytest.raises(UserError, match=said) as error, tree_of(tmp_path / folder, revision):
        pass
    assert "\n" not in str(error.value)
