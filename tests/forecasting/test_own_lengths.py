"""Lengths that a forecast takes from the cell's data: read, or an error; never a guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import main

SUITE = """\
name: own
model: {config: tiny-bert}
tasks: [{name: rte, folder: FOLDER}]
methods: [lora]
train: {batch_size: 4, max_length: 64}
"""
HEADER = "sentence1\tsentence2\tlabel\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite on data that is there and right."""
    folder = tmp_path / "data"
    folder.mkdir()
    for part in ("train", "dev"):
        (folder / f"{part}.tsv").write_text(HEADER + "It rains .\tIt is wet .\tentailment\n" * 9)
    file = tmp_path / "own.yaml"
    file.write_text(SUITE.replace("FOLDER", str(folder)))
    return file


def budget(suite: Path, *what: str) -> list[str]:
    return ["budget", *what, str(suite), "--budget", str(suite.parent / "budget.yaml")]


FAULTS = {
    "no folder": ("does not exist", lambda data: data.rename(data.parent / "away")),
    "no file": ("no dev.tsv", lambda data: (data / "dev.tsv").unlink()),
    "label": ("unknown label 'maybe'",
              lambda data: (data / "dev.tsv").write_text(HEADER + "a\tb\tmaybe\n")),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_fails_everywhere(suite: Path, fault: str) -> None:
    message, spoil = FAULTS[fault]
    run = CliRunner().invoke
    update = budget(suite, "update")
    assert run(main.app, [*update, "--reason", "first"]).exit_code == 0
    assert run(main.app, budget(suite, "check")).exit_code == 0
    spoil(suite.parent / "data")
    for command in (["forecast", str(suite)], budget(suite, "check"), [*update, "--reason", "x"]):
        done = run(main.app, command)
        assert done.exit_code == 2, done.output
        assert message in done.stderr
    padded = run(main.app, ["forecast", str(suite), "train.padding=max"])
    assert padded.exit_code == 0, "batches are 4 x 64 whatever the data says"
    assert "4 x 64" in padded.output


def test_an_empty_text_is_refused_where_no_token_is_left(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer without [CLS] and [SEP] makes nothing of it, and no model takes nothing."""
    from tiny import build

    from harness.models.spec import ModelSpec
    from harness.models.tokenizer import load_tokenizer

    model = tmp_path / "bare"
    build("tiny-gpt2").save_pretrained(model)
    tokenizer = load_tokenizer(ModelSpec(config="tiny-gpt2"), ["a b"])
    tokenizer.backend_tokenizer.post_processor = None
    tokenizer.save_pretrained(model)
    data = suite.parent / "data" / "train.tsv"
    data.write_text(HEADER + "a\tb\tentailment\n\t\tentailment\n")
    said = r"row 2 of 2 (text '', pair '') has no tokens"
    for command in (["forecast"], ["run", "--out", str(tmp_path / "out")]):
        done = CliRunner().invoke(main.app, [*command, str(suite), f"model.path={model}"])
        assert said in done.output + done.stderr
        assert done.exit_code == (2 if command == ["forecast"] else 1)
