"""One command for all, and what it costs to ask it for help."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from harness import __version__, calibrate, compare, doctor, fit, forecast, run
from harness.main import app

PAGES = {
    "run": run.EXAMPLES,
    "forecast": forecast.EXAMPLES,
    "fit": fit.EXAMPLES,
    "compare": compare.EXAMPLES,
    "calibrate": calibrate.EXAMPLES,
    "doctor": doctor.EXAMPLES,
}
EXAMPLES = {
    name: [line.strip() for line in text.splitlines() if line.startswith("  ")]
    for name, text in PAGES.items()
}
COMMANDS = (
    "run",
    "forecast",
    "fit",
    "compare",
    "budget",
    "report",
    "calibrate",
    "doctor",
    "ls",
    "schema",
)
HEAVY = ("torch", "transformers", "peft", "datasets", "numpy", "pandas", "matplotlib", "sklearn")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_says_what_there_is() -> None:
    for arguments in ([], ["--help"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0
        assert all(f"\n  {name} " in done.output for name in COMMANDS)
    done = subprocess.run([sys.executable, "-m", "harness"], capture_output=True, text=True)
    assert "Usage: headroom" in done.stdout


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output.startswith(f"headroom {__version__} (torch ")


@pytest.mark.parametrize("command", [*COMMANDS, "budget check", "budget update"])
def test_help_keeps_what_stands_in_brackets(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"], terminal_width=80)
    assert done.exit_code == 0, done.output
    shown = [line.strip() for line in done.output.splitlines()]
    wanted = EXAMPLES.get(command, [])
    assert [line for line in wanted if line not in shown] == []


def test_examples_of_the_help_pages_are_commands_that_work() -> None:
    for line in (line for lines in EXAMPLES.values() for line in lines):
        _, command, *arguments = shlex.split(line)
        suite, *rest = arguments or [""]
        if command == "run" and "data_root=DIR" not in rest:
            done = CliRunner().invoke(app, [command, suite, *{*rest, "--dry-run"}])
            assert done.exit_code == 0, done.output


def test_commands_import_nothing_heavy() -> None:
    loaded = python(
        "import sys, harness.main, harness.engines.base, harness.store, harness.suite.preflight\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert loaded == "[]\n"


def test_a_suite_loads_without_torch() -> None:
    loaded = python(
        "import sys\nfrom pathlib import Path\nfrom harness.suite.load import load_suite\n"
        "from harness.forecasting.requests import requests_of, shapes_without_data\n"
        "from harness.simulation.target import CPU\n"
        "for file in sorted(Path('suites').glob('*.yaml')):\n"
        "    if 'peft:' in file.read_text(): continue\n"  # peft's own options are its classes'
        "    for cell in load_suite(file).cells():\n"
        "        requests_of(cell, CPU, shapes_without_data(cell))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert loaded == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere.yaml"], "error: nowhere.yaml: no such file"),
        (["forecast", "nowhere.yaml"], "error: nowhere.yaml: no such file"),
        (["report", "nowhere"], "error: nowhere holds no run"),
        (["doctor", "nowhere"], "error: nowhere holds no run"),
        (["compare", "nowhere", "neither"], "error: nowhere: no such run folder or file of"),
        (["budget", "check", "nowhere", "--budget", "no.yaml"], "error: no.yaml: no such budget"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
