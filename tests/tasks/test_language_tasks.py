"""The tasks of language models: which rows they read, what they ask, how they score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import speaking

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.base import DataRequest, TaskData
from harness.tasks.language import e2e, wikitext
from harness.tasks.language.alpaca import parts_of, prompt_of
from harness.tasks.language.gsm8k import is_right, last_number, problem
from harness.tasks.texts import Prompted

NAMES = ("e2e", "wikitext", "instructions", "gsm8k", "cnn_dailymail")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking.data(tmp_path_factory.mktemp("data"))


def load(name: str, root: Path, **limits: Any) -> TaskData:
    return get_task(name).load(DataRequest(data_root=root, **limits))


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_rows_to_learn_and_to_score(name: str, root: Path) -> None:
    data = load(name, root)
    assert set(data.evaluations) == {"validation", "test"}
    assert all(data.evaluations.values())
    assert data.train
    assert data.report_on == ("test",)
    assert data.main_metric in get_task(name).metrics
    learned = {str(row.facts()[:2]) for row in data.train}
    assert name == "cnn_dailymail" or not learned & {
        str(row.facts()[:2]) for row in data.evaluations["validation"] if any(row.facts())
    }  # the small articles repeat themselves
    small = load(name, root, train_rows=2, evaluation_rows=3)
    assert (len(small.train), len(small.evaluations["test"])) == (2, 3)
    assert small.fingerprint != data.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_which_file_it_misses(name: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"task {name}: none of .* in data_root"):
        load(name, tmp_path)
    with pytest.raises(UserError, match=f"task {name}: no file for"):
        get_task(name).load(DataRequest(folder=tmp_path))
    with pytest.raises(UserError, match="pair_column"):
        load(name, root, pair_column="x")


def test_e2e_answers_each_meaning_once_and_is_held_against_all_its_texts(root: Path) -> None:
    data: Any = load("e2e", root)
    meanings = dict(speaking.meanings())
    for row in data.evaluations["test"]:
        assert list(row.accepted) == meanings[row.prompt.removesuffix(e2e.SEPARATOR)]
    assert len(data.train) == 30
    assert all(row.response.startswith(" ") and not row.learn_prompt for row in data.train)


def test_e2e_without_training_rows_divides_the_development_set(tmp_path: Path, root: Path) -> None:
    for name in ("devset.csv", "testset_w_refs.csv"):
        (tmp_path / name).write_bytes((root / "e2e-nlg" / name).read_bytes())
    data: Any = get_task("e2e").load(DataRequest(folder=tmp_path))
    assert not {r.prompt for r in data.train} & {r.prompt for r in data.evaluations["validation"]}
    assert "no training file" in data.notes[0]


def test_wikitext_s_lines_are_the_hub_s(tmp_path: Path) -> None:
    file = tmp_path / "wiki.test.raw"
    file.write_bytes(" = Title = \r\n \r\n A line\u2028with a separator . \r\n".encode())
    found = wikitext.lines(DataRequest(folder=tmp_path), "wikitext", "test")
    assert found is not None
    assert [row["text"] for row in found.rows] == [
        " = Title = \n", "", " A line\u2028with a separator . \n"]  # fmt: skip


def test_instructions_are_learned_and_running_text_is_scored(root: Path) -> None:
    data: Any = load("instructions", root)
    assert data.lowest
    assert data.train[0].prompt.endswith("### Response:\n")
    assert all(isinstance(row, Prompted) for row in data.evaluations["validation"])
    assert [row.text for row in data.evaluations["test"]] == [
        row.text
        for row in load("wikitext", root).evaluations["test"]  # type: ignore[attr-defined]
    ]
    assert "wikitext-2" in data.source
    assert "lamini" in data.source


def test_rows_of_three_layouts_are_one_instruction() -> None:
    wanted = ("Add.", "1, 2", "3")
    rows: list[dict[str, Any]] = [
        {"instruction": "Add.", "input": "1, 2", "output": "3"},
        {"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}]},
        {"instruction": "Add.", "input": "1, 2", "response": "3", "instruction_source": "x"},
    ]
    assert [parts_of(row, "here") for row in rows] == [wanted] * 3
    assert prompt_of("Add.", "1, 2").endswith("### Input:\n1, 2\n\n### Response:\n")
    assert "Input" not in prompt_of("Add.")
    with pytest.raises(UserError, match="here: column 'output' has no text"):
        parts_of({"instruction": "Add.", "output": ""}, "here")


def test_a_solution_is_right_by_its_last_number() -> None:
    assert last_number("It costs 1,234.50 or so") == 1234.5
    assert last_number("none at all") is None
    for text, right in (
        ("6 * 7 = 42", True), ("42.0005", True), ("42.01", False), ("so -42", False), ("", False),
        ("42\n### Response:\n7", True), ("The answer is 42.", True), ("4,2", True),
    ):  # fmt: skip
        assert is_right(text, "42") is right, text
    assert not is_right("42", "nan")


def test_rows_of_both_sources_are_problems() -> None:
    ours = problem({"question": "6 by 7?", "answer": "6*7 = <<6*7=42>>42\n#### 1,042"}, "here")
    theirs = problem({"instruction": "6 by 7?", "input": "", "output": "It is 42.",
                      "answer": 1042.0}, "here")  # fmt: skip
    assert ours.prompt == theirs.prompt == prompt_of("6 by 7?")
    assert ours.response == "6*7 = 42\n#### 1,042"
    assert ours.accepted == theirs.accepted == ("1042",)
    assert ours.learn_prompt
    assert theirs.learn_prompt
    with pytest.raises(UserError, match="is no number"):
        problem({"question": "Why?", "answer": "Because.\n#### so"}, "here")


def test_the_hub_s_layout_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as the hub's conversion to parquet has it: a folder per config, one per split."""
    import datasets

    columns = {"meaning_representation": "mr", "human_reference": "ref"}
    for split in ("train", "validation", "test"):
        rows = [dict(zip(columns, (mr, text), strict=True))
                for mr, texts in speaking.meanings()[:6] for text in texts]  # fmt: skip
        file = tmp_path / "default" / split / "0000.parquet"
        file.parent.mkdir(parents=True)
        datasets.Dataset.from_list(rows).to_parquet(str(file))
    source = e2e.SOURCE.__class__(**{**vars(e2e.SOURCE), "repository": str(tmp_path),
                                     "revision": None})  # fmt: skip
    monkeypatch.setattr(e2e, "SOURCE", source)
    data: Any = get_task("e2e").load(DataRequest())
    assert len(data.train) == 12
    assert len(data.evaluations["test"]) == 6


def test_the_real_files(shared_data: Path) -> None:
    """Sizes of PROTOCOLS' tables, where the real data are."""
    assert len(load("e2e", shared_data).evaluations["test"]) == 630
    gsm8k: Any = load("gsm8k", shared_data)
    assert (len(gsm8k.train) + 120, len(gsm8k.evaluations["test"])) == (7473, 1319)
    assert len(load("wikitext", shared_data).evaluations["test"]) == 4358
    assert sum(len(row.text.encode()) for row in load("wikitext", shared_data).evaluations["test"]  # type: ignore[attr-defined]
               ) == 1_287_656  # fmt: skip
    told = load("instructions", shared_data)
    assert len(told.train) + len(told.evaluations["validation"]) == 175
    cut = load("cnn_dailymail", shared_data)
    assert len(cut.train) + sum(map(len, cut.evaluations.values())) == 100
