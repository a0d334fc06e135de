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
from harness.paths import LONGEST, path_part, user_path
from harness.store import Store
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


TEXTS = ["", ".", "..", "../..", "/", "/etc/passwd", "a\0b", "a\nb", "\x1b[31m", "\ud800",
         "x" * 300, "\u00e4" * 200, "\U0001f600" * 64, "...", "lora[qv]", "a b", "~"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_free_text_is_one_part_of_a_path(tmp_path: Path, text: str) -> None:
    part = path_part(text)
    assert (tmp_path / part).parent == tmp_path
    assert (tmp_path / part).resolve().parent == tmp_path.resolve()
    (tmp_path / part).mkdir()
    assert path_part(part) == part
    assert 0 < len(part.encode()) <= LONGEST


def test_texts_that_are_cut_stay_apart() -> None:
    assert path_part("x" * 300 + "1") != path_part("x" * 300 + "2")
    assert path_part("lora-r8") == "lora-r8"
    assert path_part("a/b") == "a--b"


@pytest.mark.parametrize("name", ["..", ".", '""', '"a\\0b"', '"a\\nb"', '"\\e[31m"'])
@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "NAME"), ("methods", "[{lora: {}, label: NAME}]"),
     ("tasks", "[{name: acceptability, label: NAME}]"), ("model.label", "NAME")],
)  # fmt: skip
def test_a_name_that_is_no_part_of_a_path_is_refused(
    tmp_path: Path, key: str, value: str, name: str
) -> None:
    with pytest.raises(UserError, match=r"override .*(name|label|U\+0000|pattern)"):
        load_suite(suite_file(tmp_path, "lora"), [f"{key}={value.replace('NAME', name)}"])


@pytest.mark.parametrize(
    "method",
    ["{lora: {}, label: " + "l" * 300 + "}",
     "{lora: {targets: [" + ", ".join(f"layer.{i}.attention.self.query" for i in range(9)) + "]}}"],
    ids=["given", "automatic"],
)  # fmt: skip
def test_a_long_label_has_a_record_and_a_log(tmp_path: Path, method: str) -> None:
    [cell] = load_suite(suite_file(tmp_path, method)).cells()
    assert len(cell.method_label) > LONGEST
    store = Store(tmp_path / "out")
    for file in (store.record_file(cell), store.log_file(cell), store.checkpoint_folder(cell)):
        file.mkdir(parents=True)
        assert file.is_relative_to(tmp_path / "out")


def test_a_folder_above_as_model_stays_in_the_run_folder(tmp_path: Path) -> None:
    [cell] = load_suite(suite_file(tmp_path, "lora"), ["model.path=.."]).cells()
    assert ".." not in Path(cell.path).parts


def test_nobody_has_no_home() -> None:
    with pytest.raises(UserError, match="~no-such-user/x"):
        user_path("~no-such-user/x")
