"""SQuAD v1.1's exact match and F1, by its official rules."""

from __future__ import annotations

import pytest

from harness.tasks.answer_scores import normalised, score_answers

BOTH = ("f1", "exact_match")


@pytest.mark.parametrize(
    ("answer", "compared"),
    [
        ("The Broncos", "broncos"),
        ("  a  dog's\nlife. ", "dogs life"),
        ("Theatre in an area", "theatre in area"),  # articles are whole words
        ("twenty-four", "twentyfour"),  # punctuation goes before words are told apart
        ("£5.50 – café", "£550 – café"),  # only ASCII punctuation
        ("the", ""),
    ],
)
def test_answers_are_compared_without_case_punctuation_articles_and_spare_space(answer, compared):
    assert normalised(answer) == compared


def test_the_best_of_several_right_answers_counts():
    scores = score_answers(BOTH, ["Denver Broncos"], [["Broncos", "the Denver Broncos!", "NFL"]])
    assert scores == {"f1": 1.0, "exact_match": 1.0}
    # "in 1990": one of two words is right, and it is all of the answer: P 1/2, R 1, F1 2/3.
    scores = score_answers(BOTH, ["in 1990"], [["1990", "the year of 1990"]])
    assert scores == {"f1": pytest.approx(2 / 3), "exact_match": 0.0}


def test_words_count_as_often_as_they_stand_on_both_sides():
    # Three words against four, "to" twice on both sides and "be" once: 2 * 3 / (3 + 4).
    scores = score_answers(BOTH, ["to be to"], [["to be or to"]])
    assert scores["f1"] == pytest.approx(6 / 7)


def test_scores_are_means_over_questions_and_an_empty_answer_is_wrong():
    scores = score_answers(BOTH, ["Paris", ""], [["Paris"], ["Rome"]])
    assert scores == {"f1": 0.5, "exact_match": 0.5}
    # evaluate-v1.1.py: two answers that normalise to nothing are the same, with no word in common.
    assert score_answers(BOTH, ["A"], [["the"]]) == {"f1": 0.0, "exact_match": 1.0}


@pytest.mark.parametrize(("predictions", "references"), [([], []), (["a"], []), (["a"], [[]])])
def test_nothing_to_score_is_an_error(predictions, references):
    with pytest.raises(ValueError, match="predictions for"):
        score_answers(BOTH, predictions, references)
