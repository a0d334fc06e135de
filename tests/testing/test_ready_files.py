"""Files for other projects to copy: the workflow's and the hook's commands are ones that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from harness.main import app
from harness.testing import plugin

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "docs" / "ci" / "headroom.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"


def workflow() -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    return content


def commands() -> list[list[str]]:
    """Return the words of every command of the workflow, expansions of the shell as they are."""
    steps = workflow()["jobs"]["memory"]["steps"]
    text = "\n".join(step["run"] for step in steps if "run" in step).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def options(words: list[str]) -> set[str]:
    return set(re.findall(r"--[a-z-]+", " ".join(words)))


def test_the_workflow_is_whole() -> None:
    content = workflow()
    assert set(content[True]) == {"pull_request", "push"}  # YAML's `on` is a word for true
    assert content["permissions"] == {"contents": "read"}
    steps = content["jobs"]["memory"]["steps"]
    assert steps[0]["with"]["fetch-depth"] == 0  # the base commit is there to forecast
    said = {step["name"]: step for step in steps if "name" in step}
    assert "continue-on-error" not in WORKFLOW.read_text()
    # What a pull request names never stands in a shell's text, but in the environment.
    assert not any("${{" in step["run"] for step in steps if "run" in step)
    assert said["Budgets of the suite"]["env"] == {"BASE": "${{ github.base_ref }}"}
    used = set(re.findall(r"\$\{?([A-Z]+)", "\n".join(s["run"] for s in steps if "run" in s)))
    assert used == {*content["env"], "BASE"}


def test_its_commands_have_these_options() -> None:
    by_name = {words[0]: words for words in commands()}
    assert set(by_name) == {"pip", "headroom", "pytest"}
    assert by_name["headroom"][1:3] == ["budget", "check"]
    told = CliRunner().invoke(app, ["budget", "check", "--help"], terminal_width=200).output
    missing = [one for one in options(by_name["headroom"]) if one not in told]
    assert not missing, f"budget check has no {missing}"
    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    own = {name for group in parser._groups for each in group.options for name in each.names()}
    assert options(by_name["pytest"]) <= {*own, "--junit-xml"}
    marks = by_name["pytest"][by_name["pytest"].index("-m") + 1]
    assert marks == " or ".join(plugin.MARKS)


def test_the_hook_is_a_command_that_fails_on_a_bad_file() -> None:
    [hook] = yaml.safe_load(HOOKS.read_text())
    assert hook["id"] == "headroom-budget"
    assert hook["pass_filenames"] is False
    command, *words = shlex.split(hook["entry"])
    assert command == "headroom"
    page = (ROOT / "docs" / "pytest.md").read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(repos:.*?)```", page, re.S)[1])  # type: ignore[index]
    [used] = example["repos"][0]["hooks"]
    assert used["id"] == hook["id"]
    done = CliRunner().invoke(app, [*words, *used["args"]])
    assert done.exit_code == 2
    assert "memory_budget.yaml: no such budget file" in done.output
    assert re.search(hook["files"], "src/model.py")
    assert not re.search(hook["files"], "README.md")
