"""The task squad: its files, its hub repository (a local folder in its layout), its splits."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.suite.load import load_suite
from harness.tasks import get_task
from harness.tasks.base import DataRequest
from harness.tasks.families.questions import Answer, Question
from harness.tasks.squad import hub as squad_hub

SQUAD = get_task("squad")


def flat(paragraphs: int, each: int = 3) -> list[dict[str, Any]]:
    """Return flat rows: `each` questions on every paragraph."""
    rows = []
    for number in range(paragraphs):
        context = f"Paragraph {number} says café {number} and tea."
        for asked in range(each):
            answers = {"text": [f"café {number}", "tea"],
                       "answer_start": [context.index("café"), context.index("tea")]}  # fmt: skip
            rows.append({"id": f"{number}-{asked}", "context": context,
                         "question": f"What {asked}?", "answers": answers})  # fmt: skip
    return rows


def nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the same rows in SQuAD's own form."""
    paragraphs = []
    for context in dict.fromkeys(row["context"] for row in rows):
        asked = []
        for row in rows:
            if row["context"] == context:
                pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                answers = [{"text": text, "answer_start": start} for text, start in pairs]
                asked.append({"id": row["id"], "question": row["question"], "answers": answers})
        paragraphs.append({"context": context, "qas": asked})
    return {"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs}]}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows in the form that the file's name says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return
    text = "\n".join(json.dumps(row) for row in rows) if name.endswith(".jsonl") else json.dumps(
        rows if "flat" in name else nested(rows), ensure_ascii=False
    )  # fmt: skip
    data = ("\ufeff" + text if "flat" in name else text).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize(
    ("train", "dev"),
    [
        ("train-v1.1.json", "dev-v1.1.json"),
        ("train.jsonl", "validation.jsonl.gz"),
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"),
        ("train-flat.json", "dev.json.gz"),
    ],
)
def test_every_kind_of_file_gives_the_same_questions(tmp_path, train, dev):
    write(tmp_path / train, flat(4))
    write(tmp_path / dev, flat(2, each=1))
    (tmp_path / "README.md").write_text("no data")
    data = SQUAD.load(DataRequest(folder=tmp_path))
    assert data.source == f"local {tmp_path}"
    assert data.notes == (
        f"files {train}, {dev}",
        "train has 12 questions, official SQuAD v1.1 has 87,599",
        "dev has 2 questions, official SQuAD v1.1 has 10,570",
    )
    text = "Paragraph 1 says café 1 and tea."
    assert data.evaluations["validation"][1] == Question(
        "What 0?", text, (Answer("café 1", 17), Answer("tea", 28))
    )
    assert [len(data.train), data.report_on, data.main_metric] == [12, ("validation",), "f1"]


def test_the_hub_repository_in_its_layout(tmp_path, monkeypatch):
    import datasets

    folder = tmp_path / "squad" / "plain_text"
    folder.mkdir(parents=True)
    write(folder / "train-00000-of-00001.parquet", flat(3))
    write(folder / "validation-00000-of-00001.parquet", flat(2))
    (tmp_path / "squad" / "README.md").write_text(
        "---\nconfigs:\n- config_name: plain_text\n  data_files:\n  - split: train\n"
        "    path: plain_text/train-*\n  - split: validation\n    path: plain_text/validation-*\n"
        "---\n"
    )
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(squad_hub, "REPOSITORY", str(tmp_path / "squad"))
    datasets.disable_progress_bars()
    data = SQUAD.load(DataRequest(train_rows=5))
    assert data.source == f"hub {tmp_path / 'squad'}@{squad_hub.REVISION}"
    assert [len(data.train), len(data.evaluations["validation"])] == [5, 6]
    assert data.evaluations["validation"][0].answers[0] == Answer("café 0", 17)
    with pytest.raises(UserError, match=r"eval 0\.2 holds out .* there is a development set"):
        SQUAD.load(DataRequest(eval=0.2))
    monkeypatch.setattr(squad_hub, "REPOSITORY", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"cannot load plain_text of .*give data_root or folder"):
        SQUAD.load(DataRequest())


def paragraphs(rows: Any) -> set[str]:
    return {row.context for row in rows}


def test_safe_halves_the_development_set_between_paragraphs(tmp_path):
    write(tmp_path / "train.json", flat(3))
    rows = flat(30, each=5)
    write(tmp_path / "dev.json", rows)
    data = SQUAD.load(DataRequest(folder=tmp_path, protocol="safe"))
    validation, test = data.evaluations["validation"], data.evaluations["test"]
    assert [len(validation), len(test)] == [75, 75]
    assert not paragraphs(validation) & paragraphs(test)
    assert paragraphs(validation) | paragraphs(test) == {row["context"] for row in rows}
    assert paragraphs(validation) != {row["context"] for row in rows[:75]}  # drawn, not cut
    assert [data.select_on, data.report_on] == ["validation", ("test",)]
    again = SQUAD.load(DataRequest(folder=tmp_path, protocol="safe"))
    assert again.fingerprint == data.fingerprint
    whole = SQUAD.load(DataRequest(folder=tmp_path, protocol="aflora"))
    assert len(whole.evaluations["validation"]) == 150


def test_one_file_is_split_between_paragraphs_as_eval_says(tmp_path):
    write(tmp_path / "xquad.en.json", flat(20, each=5))
    data = SQUAD.load(DataRequest(folder=tmp_path, eval=0.2))
    held_out = data.evaluations["validation"]
    assert [len(data.train), len(held_out)] == [80, 20]
    assert not paragraphs(data.train) & paragraphs(held_out)
    assert "20 of 100 questions held out, by paragraph" in data.notes
    most = SQUAD.load(DataRequest(folder=tmp_path, eval=0.99))
    assert len(most.train) == 5  # a paragraph is left
    with pytest.raises(UserError, match=r"one file with questions, xquad.en.json; eval: 0\.2"):
        SQUAD.load(DataRequest(folder=tmp_path))
    write(tmp_path / "xquad.en.json", flat(1, each=5))
    with pytest.raises(UserError, match="1 paragraph cannot be split"):
        SQUAD.load(DataRequest(folder=tmp_path, eval=0.2))


def test_eval_beside_a_development_set_is_refused(tmp_path):
    for name in ("train.json", "dev.json"):
        write(tmp_path / name, flat(2))
    with pytest.raises(UserError, match=r"eval 0\.2 .* there is a development set in .*dev\.json"):
        SQUAD.load(DataRequest(folder=tmp_path, eval=0.2))


def test_eval_is_refused_by_tasks_with_a_split_of_their_own(tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "name: s\nmodel: {config: tiny-bert}\ntasks: [{name: TASK, eval: 0.2}]\nmethods: [full]\n"
    )
    text = suite.read_text()
    for task in ("rte", "acceptability"):
        suite.write_text(text.replace("TASK", task))
        with pytest.raises(UserError, match=rf"task {task}: eval 0\.2: this task has a dev"):
            load_suite(suite).cells()
    suite.write_text(text.replace("TASK", "squad"))
    [cell] = load_suite(suite).cells()
    assert cell.data_request().eval == 0.2
    suite.write_text(text.replace("TASK, eval: 0.2", "squad"))
    [other] = load_suite(suite).cells()
    assert other.key != cell.key
    assert "eval" not in other.task.model_dump()  # keys of cells without it stay


def test_questions_whose_answers_are_not_where_they_say_are_left_out(tmp_path):
    rows = flat(4)
    rows[0]["answers"]["answer_start"][1] += 1
    write(tmp_path / "train.json", rows)
    write(tmp_path / "dev.json", flat(2))
    data = SQUAD.load(DataRequest(folder=tmp_path))
    assert len(data.train) == 11
    assert "train: 1 questions left out, whose answers are not where the data say" in data.notes


def test_data_at_fault_are_named(tmp_path):
    with pytest.raises(UserError, match="no folder whose name begins with squad"):
        SQUAD.load(DataRequest(data_root=tmp_path))
    folder = tmp_path / "SQuAD-small"
    folder.mkdir()
    with pytest.raises(UserError, match=r"no file for train, one expected, such as train-v1\.1"):
        SQUAD.load(DataRequest(data_root=tmp_path))
    train = folder / "train.json"
    write(folder / "dev.json", flat(2))
    faults: dict[str, Any] = {
        "{": "cannot be read",
        '{"data": [{}]}': "not in the form of SQuAD",
        "[]": "empty file",
        '{"data": []}': "no questions: there are none",
        '[{"context": "a", "question": "b"}]': "question 1: KeyError: 'answers'",
        '[{"context": 1, "question": "b", "answers": {"text": [], "answer_start": []}}]':
            "question 1: TypeError: 1 is no text",
        '[{"context": "a", "question": "b", "answers": {"text": [], "answer_start": []}}]':
            "has no answer, as in SQuAD v2",
        '[{"context": "a", "question": "b", "answers": {"text": ["c"], "answer_start": [0]}}]':
            "no questions: all of their answers are misplaced",
    }  # fmt: skip
    for text, words in faults.items():
        train.write_text(text)
        with pytest.raises(UserError, match=words) as caught:
            SQUAD.load(DataRequest(data_root=tmp_path))
        assert str(train) in str(caught.value)
    (folder / "train-2.json").write_text("{}")
    with pytest.raises(UserError, match="2 files for train, one expected"):
        SQUAD.load(DataRequest(data_root=tmp_path))
    with pytest.raises(UserError, match="text_column 'x': its columns are called"):
        SQUAD.load(DataRequest(data_root=tmp_path, text_column="x"))
    (tmp_path / "squad-2").mkdir()
    with pytest.raises(UserError, match="has SQuAD-small, squad-2; name the one with folder"):
        SQUAD.load(DataRequest(data_root=tmp_path))
