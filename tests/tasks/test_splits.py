"""The two published protocols on made-up rows."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.tasks.base import Example
from harness.tasks.glue.splits import Parts, permutation, split


def rows(count: int, kind: str) -> list[Example]:
    return [Example(f"{kind} {index}", None, 0) for index in range(count)]


@pytest.mark.parametrize("protocol", ["aflora", "plain"])
def test_whole_development_set(protocol):
    parts = Parts(rows(7, "train"), rows(5, "dev"))
    result = split(parts, protocol, "halves")
    assert (result.train, result.evaluations) == (parts.train, {"validation": parts.dev})
    assert (result.select_on, result.report_on) == ("validation", ("validation",))


def test_mnli_selects_on_matched_and_reports_both():
    parts = Parts(rows(7, "train"), rows(5, "matched"), rows(4, "mismatched"))
    result = split(parts, "aflora", "mismatched")
    assert result.select_on == "validation"
    assert result.evaluations["validation"] == parts.dev
    assert result.report_on == ("validation", "validation_mismatched")
    safe = split(parts, "safe", "mismatched")
    assert safe.evaluations == {"validation": parts.mismatched, "test": parts.dev}
    assert (safe.select_on, safe.report_on) == ("validation", ("test",))


# The sizes SAFE prints for CoLA, RTE, MRPC and STS-B.
@pytest.mark.parametrize(
    ("dev", "validation", "test"),
    [(1043, 521, 522), (277, 138, 139), (408, 204, 204), (1500, 750, 750)],
)
def test_safe_halves_the_development_set(dev, validation, test):
    parts = Parts(rows(3, "train"), rows(dev, "dev"))
    result = split(parts, "safe", "halves")
    halves = result.evaluations
    assert (len(halves["validation"]), len(halves["test"])) == (validation, test)
    assert {*halves["validation"], *halves["test"]} == set(parts.dev)
    assert halves["validation"][0] == parts.dev[permutation(dev)[0]]
    assert result.train == parts.train


def test_safe_holds_out_a_thousand_training_rows():
    parts = Parts(rows(2500, "train"), rows(9, "dev"))
    result = split(parts, "safe", "held-out")
    validation = result.evaluations["validation"]
    assert len(validation) == 1000
    assert result.evaluations["test"] == parts.dev
    assert result.train == [row for row in parts.train if row not in set(validation)]


def test_permutation_is_the_published_recipe():
    # torch.randperm(10, generator=torch.Generator().manual_seed(42)), computed once.
    assert permutation(10) == [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]


def test_too_few_rows_are_refused():
    with pytest.raises(UserError, match=r"holds out 1,000 training rows.*only 1,000"):
        split(Parts(rows(1000, "train"), rows(5, "dev")), "safe", "held-out")
    with pytest.raises(UserError, match="halves the development set, which has 1 row"):
        split(Parts(rows(10, "train"), rows(1, "dev")), "safe", "halves")
