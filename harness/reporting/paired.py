"""The paired test as a table, and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reporting.columns import Column, Table, count, words
from harness.reporting.comparison import Comparison
from harness.reporting.statistics import LEVEL, Paired, pairs_needed
from harness.units import score


def paired_tables(comparison: Comparison, tests: Sequence[Paired]) -> list[Table[Paired]]:
    """Return a table per model of every method against the baseline; none without a pair."""
    return [
        Table(
            comparison.titled(model, f"scores against {comparison.baseline}, paired"),
            _columns(),
            [test for test in tests if test.model == model],
            folded=True,
            aside=True,
        )
        for model in dict.fromkeys(test.model for test in tests)
    ]


def paired_facts(comparison: Comparison, tests: Sequence[Paired]) -> list[str]:
    """Say in a sentence per model and kind of score what the test shows, and what it cannot."""
    families: dict[tuple[str, str], list[Paired]] = {}
    for test in tests:
        families.setdefault((test.model, test.unit), []).append(test)
    return [
        f"{comparison.titled(model, f'differences of scores to {comparison.baseline}')}"
        f"{'' if unit == 'fraction' else f', {unit}'}: {_said(own)}"
        for (model, unit), own in families.items()
    ]


def paired_notes(tests: Sequence[Paired]) -> list[str]:
    """Say which test it is."""
    if not tests:
        return []
    return [
        "Paired test: Wilcoxon's signed-rank test, two-sided, over the runs of the same task and "
        f"seed; p is exact, with Holm's correction over the methods; {LEVEL} and below is a "
        "difference. Seeds of one task are no tasks: over few tasks the test speaks of these."
    ]


def _said(tests: Sequence[Paired]) -> str:
    enough = [test for test in tests if test.least <= LEVEL]
    few = [test for test in tests if test.least > LEVEL]
    told = [
        f"{verdict}: {', '.join(names)}"
        for verdict in ("better", "worse", "no difference shown")
        if (names := [test.method for test in enough if test.verdict == verdict])
    ]
    if few:
        pairs = max(test.pairs for test in few)
        who = "" if not enough else f" of {', '.join(test.method for test in few)}"
        told.append(
            f"{pairs} pair{'s' if pairs > 1 else ''} of runs{who} cannot tell a difference from "
            f"chance; it takes {pairs_needed(len(tests))}"
        )
    return f"{'; '.join(told)}."


def _columns() -> list[Column[Paired]]:
    return [
        words("method", lambda test: test.method),
        count("tasks", lambda test: test.tasks, "tasks"),
        count("pairs", lambda test: test.pairs, "pairs"),
        Column(
            "mean difference", lambda test: test, _difference,
            {"mean difference": lambda test: test.difference,
             "standard deviation of differences": lambda test: test.spread,
             "score": lambda test: test.unit},
        ),
        Column(
            "better : worse", lambda test: test, lambda test: f"{test.wins} : {test.losses}",
            {"better (pairs)": lambda test: test.wins, "worse (pairs)": lambda test: test.losses},
        ),
        Column(
            "p", lambda test: test, lambda test: _p(test.adjusted),
            {"p": lambda test: test.p, "p, Holm": lambda test: test.adjusted,
             "least p, Holm": lambda test: test.least},
        ),
        words("verdict", lambda test: test.verdict),
    ]  # fmt: skip


def _difference(test: Paired) -> str:
    """Format a difference with its sign: in points of per cent, or in the metric's own unit."""
    metric = None if test.unit == "fraction" else test.unit
    spread = "" if test.spread is None else f" ± {score(test.spread, metric)}"
    sign = "+" if test.difference >= 0 else "-"
    return f"{sign}{score(abs(test.difference), metric)}{spread}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
