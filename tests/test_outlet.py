"""A command goes on when nobody reads what it prints, and says what file it cannot write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cells import rows, suite_file
from typer.testing import CliRunner

from harness.forecast import app as forecast
from harness.store import Store


def run_without_a_reader(*arguments: str, out: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output is a pipe without a reader, or a file."""
    if out:
        stream = os.open(out, os.O_WRONLY)
    else:
        reading, stream = os.pipe()
        os.close(reading)
    command = [sys.executable, "-W", "ignore", "-m", "harness", *arguments]
    done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, text=True, check=False)
    os.close(stream)
    return done


@pytest.mark.parametrize("out", ["", "/dev/full"], ids=["closed pipe", "full disk"])
def test_a_run_that_nobody_reads_writes_its_records(tmp_path: Path, out: str) -> None:
    suite = str(suite_file(tmp_path, "bitfit"))
    done = run_without_a_reader(
        "run", suite, rows(16, 8), "train.max_steps=1", "--out", str(tmp_path / "out"), out=out
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert [record.outcome for record in Store(tmp_path / "out").records()] == ["ok"]
    assert (tmp_path / "out" / "report.md").is_file()


def test_a_list_that_nobody_reads(tmp_path: Path) -> None:
    done = run_without_a_reader("ls", "methods")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("file", ["/", "/proc/nowhere/figures.json", "SUITE/figures.json"])
def test_figures_that_cannot_be_written_are_refused_before_any_forecast(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_file(tmp_path, "bitfit")
    monkeypatch.setattr("harness.forecasting.cells.forecast_cells", None)  # a call would raise
    target = file.replace("SUITE", str(suite))
    done = CliRunner().invoke(forecast, [str(suite), "--json", target])
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert "small.yaml" in done.output or "/proc/nowhere" in done.output or "/: " in done.output


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, "bitfit")
    done = run_without_a_reader("run", str(suite), rows(16, 8), "--out", f"{suite}/out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {suite}")
    assert done.stderr.count("\n") == 1
