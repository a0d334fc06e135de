"""The embedded task: its splits share no content word, and its bytes never change."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.acceptability.task import SHARES, SIZES, generate
from harness.tasks.acceptability.words import vocabulary
from harness.tasks.base import DataRequest, Example

# Of the default request. A change of grammar or words changes every score of this task.
FINGERPRINT = "77db13b49f6e988e5d599e6861323e5884259552502dabd59c9cd1e57a6f22a1"
FUNCTION_WORDS = """
a after all always amount and any are as before behind beside both by day did do does either
ever every few had has have he her herself him himself how i is large less let many me
much near neither never no nor not number of often one or probably rarely several she
should so some than that the them themselves these they this those time to too two us was we
were what which will without
"""


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Example]]:
    return {split: generate(split) for split in SIZES}


def words(rows: list[Example]) -> set[str]:
    return {word for row in rows for word in re.findall(r"[a-z]+", row.text.lower())}


def test_sizes_balance_and_no_sentence_twice(splits):
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    for rows in splits.values():
        assert sum(row.label for row in rows) * 2 == len(rows)
    texts = Counter(row.text for rows in splits.values() for row in rows)
    assert max(texts.values()) == 1


@pytest.mark.parametrize(("first", "second"), combinations(SIZES, 2))
def test_splits_share_function_words_only(first, second, splits):
    assert not vocabulary(first).forms() & vocabulary(second).forms()
    assert words(splits[first]) & words(splits[second]) <= set(FUNCTION_WORDS.split())


def test_function_words_are_no_content_words_and_all_used(splits):
    function_words = set(FUNCTION_WORDS.split())
    for split in splits:
        assert not vocabulary(split).forms() & function_words
    assert words([row for rows in splits.values() for row in rows]) >= function_words


def test_every_phenomenon_is_balanced_in_every_split(splits):
    for rows in splits.values():
        count = Counter((row.group, row.label) for row in rows)
        assert len(count) == 2 * len(SHARES)
        assert all(count[group, 0] == count[group, 1] > 0 for group, _ in count)


def test_sentences_look_like_sentences(splits):
    for row in splits["train"]:
        assert re.fullmatch(r"[A-Z][A-Za-z ]*[a-z][.?]", row.text), row
        assert 3 <= len(row.text.split()) <= 16, row


def test_no_function_word_gives_the_label_away(splits):
    """The best single word rule is right on few more sentences than chance."""
    rows = splits["train"]
    gain = {}
    for word in FUNCTION_WORDS.split():
        labels = [row.label for row in rows if word in row.text.lower().rstrip(".?").split()]
        gain[word] = abs(2 * sum(labels) - len(labels)) / len(rows)
    assert max(gain.values()) < 0.05, max(gain, key=gain.__getitem__)


def test_bytes_are_pinned():
    task = get_task("acceptability")
    data = task.load(DataRequest())
    assert data.fingerprint == FINGERPRINT
    again = task.load(DataRequest(protocol="safe", data_root=Path("/nowhere")))
    assert again.fingerprint == FINGERPRINT
    assert (data.select_on, data.report_on, data.source) == ("validation", ("test",), "embedded")
    assert (data.select_metric, data.main_metric) == ("matthews", "matthews")


def test_limits(splits):
    data = get_task("acceptability").load(DataRequest(train_rows=100, evaluation_rows=20))
    assert len(data.train) == 100
    assert [len(rows) for rows in data.evaluations.values()] == [20, 20]
    assert set(data.train) < set(splits["train"])
    many = get_task("acceptability").load(DataRequest(train_rows=7000))
    assert many.notes == ("train_rows 7000 asked for, all 6000 used",)


def test_majority_class_scores_no_correlation():
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = get_task("acceptability").score(np.array([[0.0, 1.0]] * 4), np.array([0, 1, 0, 1]))
    assert scores == {"matthews": 0.0, "accuracy": 0.5}


def test_what_an_embedded_task_does_not_take(tmp_path):
    with pytest.raises(UserError, match="is embedded: it takes no folder"):
        get_task("acceptability").load(DataRequest(folder=tmp_path))
    with pytest.raises(UserError, match=r"takes no label_column \(given: gold\)"):
        get_task("acceptability").load(DataRequest(label_column="gold"))
