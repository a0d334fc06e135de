"""Lengths that a forecast takes from the cell's data: read, or an error; never a guess."""

from __future__ import annotations

from itertools import pairwise
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


def test_time_is_over_all_steps_of_the_data_and_all_that_is_evaluated(suite: Path) -> None:
    from harness.forecasting.requests import data_shapes
    from harness.suite.load import load_suite

    words = [2, 5, 9, 30, 31]
    rows = [f"{'w ' * n}.\tIt is wet .\tentailment\n" for n in words]
    (suite.parent / "data" / "train.tsv").write_text(HEADER + "".join(rows))
    alone, by_two = (
        data_shapes(load_suite(suite, ["train.epochs=3", *more]).cells()[0]).sizes
        for more in (["train.batch_size=1", "train.eval_batch_size=4"],
                     ["train.batch_size=1", "train.accumulate=2", "train.evaluate=epoch"])
    )  # fmt: skip
    assert alone is not None
    assert by_two is not None
    lengths = [size for size, n in alone.steps.spread for _ in range(n // 3)]
    assert (alone.steps.count, alone.epochs, alone.rows) == (15, 3, 5)
    assert [b - a for a, b in pairwise(lengths)] == [3, 4, 21, 1]
    assert by_two.steps.count == 9, "the last step of an epoch has one pass"
    assert by_two.steps.mean == pytest.approx(sum(lengths) / 3)
    assert alone.evaluations is not None
    assert by_two.evaluations is not None
    assert (alone.evaluations.count, by_two.evaluations.count) == (3, 3 * 9)
