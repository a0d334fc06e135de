"""A user's own texts for language models: rows, what is scored, real runs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import speaking
from cells import silent

from harness.cell import run_cell
from harness.errors import UserError
from harness.record import Record
from harness.suite.load import load_suite
from harness.tasks.base import DataRequest, TaskData
from harness.tasks.generation import Generation
from harness.tasks.own.data import OwnData
from harness.tasks.own.task import OwnTask
from harness.tasks.texts import Prompted, Text


def task(folder: Path, kind: str, path: str, **said: Any) -> OwnTask:
    return OwnTask("mine", OwnData(kind=kind, path=path, **said), folder)


def load(own: OwnTask, **request: Any) -> TaskData:
    return own.load(DataRequest(**request))


def pairs(folder: Path) -> None:
    """Write questions with answers: what is asked for is the first word."""
    rows = [(f"{name} serves food", name) for name in speaking.NAMES * 4]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("question", "answer"), *rows])


def test_running_text_stays_in_order(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("".join(f"line {n}\n\n" for n in range(8)))
    own = task(tmp_path, "causal_lm", "all.txt", eval=0.25)
    data = load(own, train_rows=3)
    assert data.train == [Text("line 0"), Text("line 1"), Text("line 2")]
    assert data.evaluations == {"validation": [Text("line 6"), Text("line 7")]}
    assert (own.generation, own.metrics, data.lowest, data.averaged) == (
        None, ("perplexity",), True, (),
    )  # fmt: skip
    safe = load(own, protocol="safe").evaluations
    assert safe == {"validation": [Text("line 6")], "test": [Text("line 7")]}


def test_prompts_and_responses(tmp_path: Path) -> None:
    pairs(tmp_path)
    columns = {"text": "question", "label": "answer", "eval": 0.2}
    data = load(task(tmp_path, "causal_lm", "pairs.csv", **columns))
    assert data.train[0] == Prompted("Alimentum serves food\n", "Alimentum", ("Alimentum",))
    assert data.evaluations["validation"] != data.train[-8:]  # drawn
    asked = task(tmp_path, "causal_lm", "pairs.csv", metrics=["rouge_l", "exact_match"], **columns)
    assert asked.generation == Generation()
    beams = task(tmp_path, "seq2seq", "pairs.csv", generation={"num_beams": 3}, **columns)
    assert (beams.generation, beams.metrics) == (Generation(num_beams=3), ("rouge_l",))
    assert load(beams).train[0] == Prompted("Alimentum serves food", "Alimentum", ("Alimentum",))
    scored = asked.score(["Alimentum", "no"], [("Alimentum",), ("Aromi",)])
    assert scored["exact_match"] == 0.5


@pytest.mark.parametrize(
    ("kind", "said", "message"),
    [
        ("causal_lm", {"metrics": ["rouge_l"]}, "running text is scored by perplexity; label"),
        ("causal_lm", {"label": "a", "metrics": ["perplexity", "rouge_l"]}, "is of likelihoods"),
        ("causal_lm", {"label": "a", "generation": {}}, "nothing is generated for perplexity"),
        ("seq2seq", {"metrics": ["rouge_k"]}, "unknown metric 'rouge_k' of a seq2seq"),
        ("seq2seq", {"pair": "b"}, "pair 'b' means nothing for the kind seq2seq"),
        ("seq2seq", {"labels": ["a", "b"]}, "labels: a seq2seq has no classes"),
        ("seq2seq", {"generation": {"beams": 3}}, "generation.beams"),
        ("seq2seq", {"generation": {"num_beams": True}}, "valid number"),
        ("classification", {"generation": {}}, "generation: a classification generates nothing"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(kind: str, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OwnData(kind=kind, path="a.csv", **said)


def run(folder: Path, model: str, entry: str, *overrides: str) -> Record:
    file = folder / "own.yaml"
    file.write_text(
        f"name: own\nmodel: {model}\ntasks: [{{name: mine, {entry}}}]\nmethods: [full]\n"
        f"data_root: {folder}\ntrain: {{batch_size: 4, max_length: 16, epochs: 3, lr: 1.0e-2}}\n"
    )
    (cell,) = load_suite(file, overrides).cells()
    record = run_cell(cell, silent)
    assert record.outcome == "ok", record.message
    assert record.memory is not None
    assert record.forecast is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
    return record


def test_a_text_file_is_learned(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("the cat sat on the mat and the dog sat on the cat\n" * 60)
    entry = "kind: causal_lm, path: all.txt, eval: 0.25"
    said = ("train.evaluate=epoch", "train.epochs=8", "train.lr=3.0e-3")
    record = run(tmp_path, "{config: tiny-llama}", entry, *said)
    found = [epoch["validation"]["perplexity"] for epoch in record.history]
    assert record.main_metric == "perplexity"
    assert record.main_score == found[-1] < 6  # 6.57 by the words' frequencies alone


def test_answers_are_generated_to_own_prompts(tmp_path: Path) -> None:
    pairs(tmp_path)
    for model, kind in (("tiny-bart", "seq2seq"), ("tiny-llama", "causal_lm")):
        path = speaking.model(tmp_path / model, model)
        record = run(
            tmp_path, f"{{path: {path}}}",
            f"kind: {kind}, path: pairs.csv, eval: 0.2, text: question, label: answer, "
            "metrics: [rouge_l, exact_match], generation: {num_beams: 2, max_new_tokens: 6}",
            "train.max_length=32",
        )  # fmt: skip
        assert list(record.reported) == ["rouge_l", "exact_match"]
        assert record.data is not None
        assert record.data.evaluation == "generation"


def test_a_library_that_is_not_there_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    import harness.tasks.text_metrics as text_metrics

    monkeypatch.setattr(text_metrics, "find_spec", lambda name: None)
    own = task(Path(), "seq2seq", "a.csv", metrics=["rougeL"], eval=0.1)
    with pytest.raises(UserError, match="metric rougeL needs rouge_score, which is not installed"):
        own.check()
