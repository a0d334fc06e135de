"""The paired test against scipy, and what few pairs can say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from records import SUITE, record
from scipy.stats import PermutationMethod, wilcoxon

from harness.record import Record
from harness.reporting.comparison import Comparison, compare_methods
from harness.reporting.paired import paired_facts, paired_tables
from harness.reporting.statistics import (
    EXACT_UP_TO,
    Paired,
    paired_tests,
    pairs_needed,
    signed_rank,
)
from harness.suite.load import load_suite


@pytest.mark.parametrize("count", [1, 2, 5, 12, EXACT_UP_TO, EXACT_UP_TO + 1, 300])
def test_the_signed_rank_test_is_scipy_s(count: int) -> None:
    differences = np.random.default_rng(count).normal(0.2, 1, count)
    method = "exact" if count <= EXACT_UP_TO else "asymptotic"
    theirs = wilcoxon(differences, method=method, correction=False).pvalue
    assert signed_rank(differences.tolist()) == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_it_is_exact_with_ties_and_pairs_without_a_difference(seed: int) -> None:
    differences = np.random.default_rng(seed).integers(-3, 4, 10).astype(float)
    every = wilcoxon(differences, method=PermutationMethod(n_resamples=2**12)).pvalue
    assert signed_rank(differences.tolist()) == pytest.approx(every, rel=1e-10)


def test_large_samples_with_ties_are_scipy_s() -> None:
    differences = np.random.default_rng(0).integers(-3, 4, 200).astype(float)
    theirs = wilcoxon(differences, method="asymptotic", correction=False).pvalue
    assert signed_rank(differences.tolist()) == pytest.approx(theirs, rel=1e-10)


def test_no_difference_at_all_has_no_p() -> None:
    assert signed_rank([0.0, 0.0]) is None


def compared(
    folder: Path, seeds: int, methods: str = "[full, {lora: {r: 8}}]", **scores: list[float]
) -> Comparison:
    """Compare methods, whose scores grow by what is given for them; by seed within a task."""
    file = folder / "small.yaml"
    text = SUITE.replace("[full, {lora: {r: 8}}]", methods)
    file.write_text(text.replace("seeds: [0, 1]", f"seeds: {list(range(seeds))}"))
    found: list[Record] = []
    for number, cell in enumerate(load_suite(file).cells()):
        gain = scores.get(cell.method, [0.0])
        base = 0.5 + 0.01 * cell.seed
        found.append(record(cell, base + gain[(cell.seed + number) % len(gain)]))
    return compare_methods(found)


def test_methods_are_paired_with_the_baseline_over_tasks_and_seeds(tmp_path: Path) -> None:
    [test] = paired_tests(compared(tmp_path, 3, lora=[0.1]))
    assert (test.method, test.pairs, test.tasks, test.wins, test.losses) == ("lora-r8", 6, 2, 6, 0)
    assert test.difference == pytest.approx(0.1)
    assert test.p == test.adjusted == test.least == 2 / 2**6
    assert test.verdict == "better"


def test_few_pairs_say_that_they_are_too_few(tmp_path: Path) -> None:
    comparison = compared(tmp_path, 2, lora=[0.1])
    [test] = paired_tests(comparison)
    assert (test.pairs, test.least, test.verdict) == (4, 0.125, "too few pairs")
    [said] = paired_facts(comparison, [test])
    assert said == (
        "Differences of scores to full: 4 pairs of runs cannot tell a difference from chance; "
        "it takes 6."
    )
    assert [pairs_needed(n) for n in (1, 2, 5)] == [6, 7, 8]


def test_holm_s_correction_is_over_the_methods(tmp_path: Path) -> None:
    methods = "[full, {lora: {r: 8}}, bitfit]"
    comparison = compared(tmp_path, 4, methods, lora=[-0.1], bitfit=[0.1, -0.1, 0.2])
    tests = {test.method: test for test in paired_tests(comparison)}
    lora, bitfit = tests["lora-r8"], tests["bitfit"]
    assert lora.p == 2 / 2**8
    assert lora.adjusted == 2 * lora.p
    assert bitfit.p is not None
    assert bitfit.adjusted == bitfit.p > 0.05, "the largest is times one"
    assert (lora.verdict, bitfit.verdict) == ("worse", "no difference shown")
    [said] = paired_facts(comparison, list(tests.values()))
    assert said == ("Differences of scores to full: worse: lora-r8; no difference shown: bitfit.")
    [table] = paired_tables(comparison, list(tests.values()))
    assert table.texts[0] == ["lora-r8", "2", "8", "-10.00 ± 0.00", "0 : 8", "0.016", "worse"]


def test_of_errors_less_is_better_and_no_unit_mixes_with_another(tmp_path: Path) -> None:
    comparison = compared(tmp_path, 3, lora=[0.1])
    for each in comparison.records:
        if each.task == "rte":
            each.main_metric = "perplexity"
    fraction, perplexity = paired_tests(comparison)
    assert (fraction.unit, perplexity.unit) == ("fraction", "perplexity")
    assert (fraction.wins, perplexity.wins) == (3, 0)
    assert perplexity.difference == pytest.approx(-0.1)
    two = paired_facts(comparison, [fraction, perplexity])
    assert two[1].startswith("Differences of scores to full, perplexity: ")


def test_what_has_no_score_has_no_pair(tmp_path: Path) -> None:
    comparison = compared(tmp_path, 3, lora=[0.1])
    comparison.records[0].outcome = "oom"
    comparison.records[-1].main_score = None
    found: list[Paired] = paired_tests(comparison)
    assert found[0].pairs == 4
