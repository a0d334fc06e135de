"""Own data of the kind question_answering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.tasks.base import DataRequest, TaskData
from harness.tasks.families.questions import Answer, Question
from harness.tasks.own.data import OwnData
from harness.tasks.own.task import OwnTask

TEXT = "Tea is hot, and hot tea is good."
BOTH = {"text": ["hot", "Tea"], "answer_start": [16, 0]}


def load(path: Path, **said: Any) -> TaskData:
    data = OwnData(kind="question_answering", path=str(path), eval=0.5, **said)
    own = OwnTask("mine", data)
    assert (own.family, own.metrics, own.num_labels) == (
        "question_answering", said.get("metrics", ("f1", "exact_match")), 1,
    )  # fmt: skip
    return own.load(DataRequest())


def rows(tmp_path: Path, answers: list[Any]) -> Path:
    path = tmp_path / "mine.jsonl"
    asked = [{"context": TEXT, "question": f"{n}?", "answers": a} for n, a in enumerate(answers)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in asked))
    return path


def test_answers_with_their_places_and_answers_alone(tmp_path):
    data = load(rows(tmp_path, [BOTH, "hot"]))
    [one], [other] = data.train, data.evaluations["validation"]
    assert sorted([one, other], key=lambda row: row.question) == [
        Question("0?", TEXT, (Answer("hot", 16), Answer("Tea", 0))),
        Question("1?", TEXT, (Answer("hot", 7),)),
    ]


def test_columns_of_other_names_in_a_csv(tmp_path):
    (tmp_path / "mine.csv").write_text(f'q,body,a\nhow?,"{TEXT}",hot\nwhat?,"{TEXT}",good\n')
    data = load(tmp_path / "mine.csv", text="body", pair="q", label="a")
    asked = {row.question: row.answers for row in [*data.train, *data.evaluations["validation"]]}
    assert asked == {"how?": (Answer("hot", 7),), "what?": (Answer("good", 27),)}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("cold", "'cold' does not stand in the text"),
        ({"text": ["hot"], "answer_start": [15]}, r"'hot' does not stand in the text \(at 15\)"),
        ({"text": ["hot"], "answer_start": [-25]}, "does not stand"),
        ({"text": ["hot"]}, "no lists text and answer_start of one length"),
        ({"text": ["hot"], "answer_start": [7, 16]}, "no lists text and answer_start"),
        ({"text": [], "answer_start": []}, "no answer"),
        ("", "no label"),
    ],
)
def test_what_is_no_answer_is_refused_with_its_place(tmp_path, answers, words):
    with pytest.raises(UserError, match=rf"mine\.jsonl, line 2, column 'answers': .*{words}"):
        load(rows(tmp_path, [BOTH, answers]))


def test_scores_are_those_of_squad_or_of_a_function(tmp_path, monkeypatch):
    (tmp_path / "shares.py").write_text(
        "def right(references, predictions):\n"
        "    pairs = list(zip(references, predictions))\n"
        "    return sum(said in texts for texts, said in pairs) / len(pairs)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = {"metrics": ("exact_match", "shares:right")}
    assert load(rows(tmp_path, [BOTH, BOTH]), **said).main_metric == "exact_match"
    own = OwnTask("mine", OwnData(kind="question_answering", path="x.csv", **said))
    scores = own.score(["the hot", "no"], [("hot", "Tea"), ("hot",)])
    assert scores == {"exact_match": 0.5, "shares:right": 0.0}
