"""What a run's exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import rows, suite_file
from typer.testing import CliRunner

from harness.run import app
from harness.store import Store


@pytest.mark.parametrize(
    ("methods", "settings", "outcomes", "code"),
    [
        ("bitfit", (), ["ok"], 0),
        ("bitfit", ("train.lr=1e38", "train.clip=null"), ["diverged"], 0),
        ("{lora: {targets: [nonsense]}}, bitfit", (), ["crashed", "ok"], 1),
    ],
)
def test_a_crash_is_a_failure_and_a_result_is_none(
    tmp_path: Path, methods: str, settings: tuple[str, ...], outcomes: list[str], code: int
) -> None:
    command = [str(suite_file(tmp_path, methods)), rows(16, 8), *settings, "--out", str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert [record.outcome for record in Store(tmp_path).records()] == outcomes
    assert done.exit_code == code
    if code:
        assert "no linear layer of this bert model is called 'nonsense'" in done.output
