"""`~` works in every path that a user writes, also where no shell replaces it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import suite_file
from tiny import build
from typer.testing import CliRunner

from harness import main
from harness.errors import UserError
from harness.models.files import local_folder
from harness.models.spec import ModelSpec
from harness.paths import user_path
from harness.suite.load import load_suite


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_models_and_data(home: Path) -> None:
    build().save_pretrained(home / "mine")
    assert local_folder(ModelSpec(path="~/mine")) == home / "mine"
    with pytest.raises(UserError, match=r"model.path = ~/other: no such folder"):
        local_folder(ModelSpec(path="~/other"))
    task = "tasks=[{name: rte, folder: ~/rte}]"
    [cell] = load_suite(suite_file(home, "lora"), [task, "data_root=~/data"]).cells()
    request = cell.data_request()
    assert (request.folder, request.data_root) == (home / "rte", home / "data")
    assert (cell.task.folder, cell.data_root) == ("~/rte", "~/data"), "a key is no home's"


def test_every_option_of_every_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite_file(home, "bitfit")
    file, quick = "~/small.yaml", ("train.max_steps=1", "tasks=[{name: acceptability, "
                                   "train_rows: 8, evaluation_rows: 8}]")  # fmt: skip
    commands = [
        ["run", file, *quick, "--out=~/out"], ["report", "~/out"], ["ls", "suites", "--folder=~"],
        ["forecast", file, "--json=~/figures.json"],
        ["budget", "update", file, "--budget=~/b.yaml", "--reason=first"],
        ["budget", "check", file, "--budget=~/b.yaml", "--summary=~/summary.md"],
    ]  # fmt: skip
    monkeypatch.chdir(home)
    for command in commands:
        done = CliRunner().invoke(main.app, command)
        assert done.exit_code == 0, done.output
    for name in ("out/report.md", "figures.json", "b.yaml", "summary.md"):
        assert (home / name).is_file(), name
    assert not (home / "~").exists()


def test_nobody_has_no_home() -> None:
    with pytest.raises(UserError, match="~no-such-user/x"):
        user_path("~no-such-user/x")
