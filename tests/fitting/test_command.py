"""`headroom fit` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from harness.main import app

PINNED = ["train.attention=sdpa", "train.loss=model", "train.gradient_checkpointing=true"]


def test_the_suite_that_it_writes_is_forecast_as_it_said(tmp_path: Path) -> None:
    suite, said, again = tmp_path / "fit.yaml", tmp_path / "fit.json", tmp_path / "again.json"
    card = ["--gpu", "custom:0.5:8.6"]
    done = CliRunner().invoke(
        app,
        ["fit", "tiny-llama", *PINNED, *card, "--length", "64", "--methods", "qlora",
         "--suite", str(suite), "--json", str(said)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "What fits: tiny-llama on custom:0.5:8.6, 1 x 64 tokens a step" in done.output
    assert "lora nf4" in done.output
    [row] = json.loads(said.read_text())["rows"]
    assert "To train, put data in the place of the shape" in suite.read_text()
    done = CliRunner().invoke(app, ["forecast", str(suite), *card, "--json", str(again)])
    assert done.exit_code == 0, done.output
    [entry] = json.loads(again.read_text())
    assert entry["device"] == row["forecasts"][0]["device"]
    assert row["largest_batch"] >= 1


def test_a_mistake_costs_no_search() -> None:
    done = CliRunner().invoke(app, ["fit", "llama-2-7", "--gpu", "rtx4090"])
    assert done.exit_code == 2
    assert "did you mean 'llama-2-7b'" in done.output
    done = CliRunner().invoke(app, ["fit", "/nonexistent"])
    assert done.exit_code == 2
    assert "MODEL /nonexistent: no such folder or file" in done.output
    done = CliRunner().invoke(app, ["fit", "tiny-llama", "--row", "3"])
    assert done.exit_code == 2
    assert "--row 3: it says which row --suite" in done.output
