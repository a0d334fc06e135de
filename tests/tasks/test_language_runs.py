"""Every language task trained on small data, with memory foreseen as it is measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import speaking
from cells import silent
from speaking import cell_of

from harness.cell import run_cell
from harness.errors import UserError
from harness.record import Record
from harness.suite.preflight import check_cells

CASES = [
    ("wikitext", "tiny-gpt2", "lora", ()),
    ("instructions", "tiny-llama", "lora", ("train.max_length=400", "train.accumulate=2")),
    ("cnn_dailymail", "tiny-bart", "lora", ("train.max_target_length=6", "train.padding=max")),
    ("cnn_dailymail", "tiny-bart", "full",
     ("train.label_smoothing=0.1", "train.epochs=2", "train.max_steps=null",
      "train.lr=1e-6")),
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking.data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny models have 130 positions; their texts no scores that anyone wants."""
    from harness.tasks.generation import Generation
    from harness.tasks.language.base import LanguageTask
    from harness.tasks.language.cnn_dailymail import CnnDailymailTask
    from harness.tasks.language.gsm8k import Gsm8kTask

    answers = Generation(num_beams=3, no_repeat_ngram_size=3, max_new_tokens=10)
    for task in (CnnDailymailTask, Gsm8kTask):
        monkeypatch.setattr(task, "generation", answers)
    monkeypatch.setattr(LanguageTask, "check", lambda self: None)
    plain = LanguageTask.score
    monkeypatch.setattr(
        LanguageTask, "score",
        lambda self, texts, wanted: plain(self, texts, wanted) if self.generation is None
        else dict.fromkeys(self.metrics, sum(map(len, texts)) / 1000),
    )  # fmt: skip


def run(root: Path, task: str, model: str, method: str, *overrides: str) -> Record:
    path = root / model
    if not path.is_dir():
        speaking.model(path, model)
    return run_cell(cell_of(root, path, task, method, *overrides), silent)


@pytest.mark.parametrize(("task", "model", "method", "overrides"), CASES)
def test_a_task_trains_and_its_memory_is_foreseen(
    root: Path, task: str, model: str, method: str, overrides: tuple[str, ...]
) -> None:
    record = run(root, task, model, method, *overrides)
    assert record.outcome == "ok", record.message
    assert record.main_score is not None
    assert math.isfinite(record.main_score)
    assert record.memory is not None
    assert record.forecast is not None
    assert record.forecast.error is None
    stages = record.forecast.stages.values()
    training = max(stage.peak_allocated for stage in stages)
    assert abs(training - record.memory.peak_training) <= 64
    evaluation = max(stage.peak_evaluation or 0 for stage in stages)
    # An answer that ends early needs less; those of the tiny models do not.
    assert 0 <= evaluation - (record.memory.peak_evaluation or 0) <= 64
    assert record.data is not None
    assert record.data.evaluation == ("generation" if model == "tiny-bart" else "logits")
    if task == "wikitext":
        assert any("test: 16 blocks of 48 tokens" in note for note in record.data.notes)


def test_the_lowest_perplexity_is_the_best(root: Path) -> None:
    record = run(root, "wikitext", "tiny-gpt2", "full", "train.checkpoint=best", "train.epochs=4",
                 "train.max_steps=null", "train.lr=3e-2")  # fmt: skip
    found = [entry["validation"]["perplexity"] for entry in record.history]
    assert record.best_epoch == found.index(min(found))
    assert found.index(min(found)) != found.index(max(found))
    assert record.averaged_score is None, "a perplexity is no part of an average"


def test_a_made_up_tokenizer_generates_nothing(root: Path) -> None:
    cell = cell_of(root, root / "tiny-bart", "cnn_dailymail", "lora", "model={config: tiny-bart}")
    with pytest.raises(UserError, match="cnn_dailymail generates text"):
        check_cells([cell])
    with pytest.raises(UserError, match="cnn_dailymail generates text"):
        run_cell(cell, silent)


def test_a_setting_of_another_family_is_refused(root: Path) -> None:
    where = root / "tiny-gpt2"
    with pytest.raises(UserError, match=r"train.max_target_length = 9: means nothing for the "):
        cell_of(root, where, "wikitext", "lora", "train.max_target_length=9")
    with pytest.raises(UserError, match=r"train.train_on_prompt = True: means nothing for the "):
        cell_of(root, where, "cnn_dailymail", "lora", "train.train_on_prompt=true")
    shape = "tasks=[{shape: {family: seq2seq, length: 8}}]"
    with pytest.raises(UserError, match=r"shape\.target_length says it"):
        cell_of(root, where, "wikitext", "lora", shape, "train.max_target_length=9")


def test_answers_that_have_no_positions_are_refused(root: Path) -> None:
    from harness.tasks.generation import Generation
    from harness.tasks.language.cnn_dailymail import CnnDailymailTask

    CnnDailymailTask.generation = Generation(max_new_tokens=131)
    with pytest.raises(UserError, match="prompts with answers of up to 131 tokens need 131"):
        run(root, "cnn_dailymail", "tiny-bart", "lora")


def test_another_end_of_text_is_refused(root: Path, tmp_path: Path) -> None:
    path = speaking.model(tmp_path / "endless", "tiny-llama")
    for name in ("config.json", "generation_config.json"):
        file = path / name
        file.write_text(file.read_text().replace('"eos_token_id": 2', '"eos_token_id": 3'))
    with pytest.raises(UserError, match="ends texts with id 2, and its config generates up to 3"):
        run_cell(cell_of(root, path, "gsm8k"), silent)


@pytest.mark.parametrize(
    ("task", "model", "overrides"),
    [("wikitext", "tiny-gpt2", ()), ("instructions", "tiny-llama", ("train.max_length=400",)),
     ("cnn_dailymail", "tiny-bart", ("train.max_target_length=6",))],
)  # fmt: skip
def test_language_runs_can_be_looked_at(
    root: Path, task: str, model: str, overrides: tuple[str, ...]
) -> None:
    """The loss is that of training, also where answers are generated."""
    asked = (
        "analyses={cka: {points: 2, examples: 8}, landscape: {points: 3, examples: 4}, "
        "hessian: {top: 1, examples: 4, iterations: 3}}"
    )
    record = run(root, task, model, "lora", *overrides, asked)
    assert record.outcome == "ok", record.message
    assert record.shortfalls == []
    for name, result in record.analyses.items():
        assert result.headline, name
        assert all(map(math.isfinite, result.headline.values())), name
