"""The command: what it refuses, and a suite in another environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.compare import app
from harness.comparing.child import Place, forecast_in
from harness.comparing.interpreter import code_path
from harness.env import ROOT
from harness.errors import UserError
from harness.forecasting.cards import find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.suite.load import load_suite

SUITE = """\
name: asked
model: {config: tiny-bert}
tasks: [{shape: {family: classification, batch_size: 4, length: 8}}]
methods: [bitfit, {lora: {r: 4}}]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE)
    return file


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name two run folders or two files of forecasts"),
        (["one"], "name two run folders or two files of forecasts"),
        (["nowhere", "neither"], "error: nowhere: no such run folder or file of forecasts"),
        (["a", "b", "--with", "torch==1"], "--with: name the suite, --forecast SUITE"),
        (["--forecast", "SUITE"], "--forecast: say what differs, by one of --with/--from"),
        (["--forecast", "SUITE", "--rev", "x", "--with", "a==1"], "say what differs, by one of"),
        (["--forecast", "SUITE", "--with", "torch"], "'torch': expected NAME==VERSION"),
        (["--forecast", "SUITE", "--with", "a==1", "--repo", "."], "--repo: name the revision"),
        (["--forecast", "SUITE", *["--rev", "x"] * 3], "--rev: two revisions at most"),
        (["--forecast", "nowhere.yaml", "--rev", "x"], "nowhere.yaml: no such file"),
        (["--forecast", "SUITE", "--python", "nowhere"], "nowhere: No such file"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    suite: Path, arguments: list[str], said: str
) -> None:
    words = [str(suite) if word == "SUITE" else word for word in arguments]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
    assert "forecasting: " not in done.output  # no work before all is looked at


def test_another_python_is_asked_the_same(tmp_path: Path, suite: Path) -> None:
    file = tmp_path / "all.json"
    words = ["--forecast", suite, "train.precision=bf16", "--gpu", "l4", "--python", sys.executable]
    done = CliRunner().invoke(app, [*map(str, words), "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "2 cells: of the forecast peaks 0 grew, 0 fell, 2 stayed." in done.output
    assert "The environment is the same as far as it is known" in done.output
    told = json.loads(file.read_text())
    assert told["before"]["environment"]["card"] == "l4"
    assert told["before"]["environment"]["torch"]


def test_forecasts_list_all_that_holds_the_peak(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE.replace("tiny-bert", "tiny-bart"))
    cells = load_suite(tmp_path / "suite.yaml", ["methods=[lora]"]).cells()
    [entry] = forecast_cells(Forecaster(None, 1), cells, [find_card("l4")])
    held = sum(hold.num_bytes for hold in entry.holds) + entry.split["unsplit"]
    assert (held, len(entry.holds) > 60) == (entry.peak_allocated, True)


def test_a_suite_that_cannot_be_forecast_is_told_with_its_side(suite: Path) -> None:
    done = CliRunner().invoke(
        app, ["--forecast", str(suite), "methods=[lorra]", "--python", sys.executable]
    )
    assert done.exit_code == 2
    assert "error: what is installed: " in done.output
    assert "lorra" in done.output


def test_versions_are_looked_at_before_they_are_believed(suite: Path) -> None:
    place = Place("x", suite, Path(sys.executable), code_path(ROOT), "", (("torch", "0.1"),))
    with pytest.raises(UserError, match=r"x: .* has torch 2"):
        forecast_in([place], [])


def test_the_folder_that_it_is_called_in_is_none_to_import_from(
    tmp_path: Path, suite: Path
) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from harness.compare import app; app()"
    words = ["--forecast", str(suite), "--python", sys.executable, "--only", "*bitfit*"]
    done = subprocess.run([sys.executable, "-P", "-c", code, *words], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 cell: " in done.stdout
