"""What a run's exit code says."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import rows, suite_file
from typer.testing import CliRunner

from harness.run import app
from harness.store import Store
from methods import REGISTRY

pytestmark = pytest.mark.usefixtures("forked_cells")
STUMBLES = """\
from methods.bitfit import BitFit

class Stumbles(BitFit):
    name = "stumbles"

    def attach(self, model, plan):
        handle = super().attach(model, plan)
        handle.before_forward = self.stumble
        return handle

    def stumble(self, step):
        raise ValueError(f"stumbled at step {step}")

METHODS = {"stumbles": Stumbles}
"""


@pytest.mark.parametrize(
    ("methods", "settings", "outcomes", "code"),
    [
        ("bitfit", (), ["ok"], 0),
        ("bitfit", ("train.lr=1e38", "train.clip=null"), ["diverged"], 0),
        ("bitfit", ("train.lr=1e38", "train.max_steps=1"), ["diverged"], 0),
        ("{stumbles: {}}, bitfit", ("--plugin=stumbles",), ["crashed", "ok"], 1),
    ],
)
def test_a_crash_is_a_failure_and_a_result_is_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    methods: str,
    settings: tuple[str, ...],
    outcomes: list[str],
    code: int,
) -> None:
    for name in ("_added", "used"):  # so that no other test meets the plug-in
        monkeypatch.setattr(REGISTRY, name, dict(getattr(REGISTRY, name)))
    monkeypatch.setattr("harness.plugins._loaded", [])
    (tmp_path / "stumbles.py").write_text(STUMBLES)
    command = [str(suite_file(tmp_path, methods)), rows(16, 8), *settings]
    command += ["--out", str(tmp_path), "--retries", "0"]
    done = CliRunner().invoke(app, command)
    assert [record.outcome for record in Store(tmp_path).records()] == outcomes
    assert done.exit_code == code
    if code:
        assert "ValueError: stumbled at step 0" in done.output
