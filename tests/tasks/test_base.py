"""The interface: requests, subsets, fingerprints, the registry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.tasks import TASKS, get_task, names
from harness.tasks.base import DataRequest, Example, fingerprint, limit_notes, limited

ROWS = [Example(f"sentence {index}", None, index % 2) for index in range(50)]


def test_a_limit_keeps_order_and_grows_by_adding_rows():
    few, more = limited(ROWS, 10), limited(ROWS, 30)
    assert len(few) == 10
    assert [row for row in ROWS if row in few] == few
    assert set(few) < set(more)
    assert few != ROWS[:10]
    assert limited(ROWS, 10) == few


@pytest.mark.parametrize("limit", [None, 50, 51])
def test_a_limit_that_is_none_takes_all(limit):
    assert limited(ROWS, limit) == ROWS


def test_a_limit_above_the_rows_is_noted():
    assert limit_notes(DataRequest(train_rows=50), ROWS) == ()
    assert limit_notes(DataRequest(train_rows=51), ROWS) == (
        "train_rows 51 asked for, all 50 used",
    )


def test_fingerprint_depends_on_text_pair_label_part_and_order():
    base = fingerprint(ROWS, {"test": ROWS[:2]})
    assert base == fingerprint(list(ROWS), {"test": ROWS[:2]})
    changed = [
        fingerprint(ROWS[::-1], {"test": ROWS[:2]}),
        fingerprint(ROWS, {"validation": ROWS[:2]}),
        fingerprint([Example("sentence 0", None, 1), *ROWS[1:]], {"test": ROWS[:2]}),
        fingerprint([Example("sentence 0", "", 0), *ROWS[1:]], {"test": ROWS[:2]}),
    ]
    assert len({base, *changed}) == 5


def test_request_refuses_what_it_does_not_know():
    with pytest.raises(UserError, match="unknown protocol 'aflor': did you mean 'aflora'"):
        DataRequest(protocol="aflor")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="evaluation_rows must be at least 1, got 0"):
        DataRequest(evaluation_rows=0)


def test_registry_makes_every_task():
    assert names() == sorted(TASKS)
    others = {"stsb": "regression", "squad": "question_answering", "cnn_dailymail": "seq2seq"}
    others |= dict.fromkeys(("e2e", "wikitext", "instructions", "gsm8k"), "causal_lm")
    for name in names():
        task = get_task(name)
        assert task.name == name
        assert task.description
        assert task.family == others.get(name, "classification")
    assert [get_task(name).num_labels for name in ("stsb", "sst2", "mnli")] == [1, 2, 3]
    with pytest.raises(UserError, match="unknown task 'ssts2'; did you mean 'sst2'"):
        get_task("ssts2")


def test_listing_the_tasks_imports_nothing_heavy():
    code = (
        "import sys; from harness.tasks import names, get_task; [get_task(n) for n in names()];"
        "print([m for m in ('torch', 'numpy', 'datasets', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
