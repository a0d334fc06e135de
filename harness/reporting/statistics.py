"""Whether a method's scores differ from the baseline's by more than chance: a paired test.

The pairs are runs of one task and one seed. Wilcoxon's signed-rank test asks no normal distribution
and weighs a task of large differences no more than its rank; Demšar (2006) recommends it for
comparisons over data sets. Few pairs can prove nothing: of n pairs the smallest two-sided p is
2^(1-n), whatever the scores are, and Holm's (1979) correction takes it times the number of methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import mean, stdev

from harness.record import Record
from harness.reporting.comparison import Comparison, lowest
from harness.units import is_fraction

LEVEL = 0.05  # p below which a difference is called one
EXACT_UP_TO = 50  # pairs; beyond, the normal approximation is as good
DIGITS = 12  # of a difference: rounding makes no ties and breaks none


@dataclass(frozen=True)
class Paired:
    """A method against the baseline, over the runs of the same task and seed on the same model.

    Attributes:
        unit: of the scores: `fraction`, or the metric's name.
        pairs: runs of both that ended with a score.
        difference: mean over the pairs, above 0 where the method is better; `spread` is its sample
            standard deviation.
        wins, losses: pairs in which the method, or the baseline, is better.
        p: two-sided; None where no pair differs.
        adjusted: p after Holm's correction over the methods of the model.
        least: the smallest `adjusted` that so many pairs could have given.
    """

    model: str
    method: str
    unit: str
    tasks: int
    pairs: int
    difference: float
    spread: float | None
    wins: int
    losses: int
    p: float | None
    adjusted: float | None = None
    least: float = 1.0

    @property
    def verdict(self) -> str:
        """What can be said."""
        if self.least > LEVEL:
            return "too few pairs"
        if self.adjusted is None or self.adjusted > LEVEL:
            return "no difference shown"
        return "better" if self.difference > 0 else "worse"


def paired_tests(comparison: Comparison) -> list[Paired]:
    """Return each method against the baseline, by model; none where nothing can be paired."""
    tests: list[Paired] = []
    for model in comparison.models:
        rows = {row.method: row.records for row in comparison.rows if row.model == model}
        base = rows.pop(comparison.baseline or "", [])
        own = [test for method, records in rows.items() for test in _tests(method, records, base)]
        for unit in dict.fromkeys(test.unit for test in own):
            tests += _holm([test for test in own if test.unit == unit])
    return tests


def pairs_needed(num_methods: int) -> int:
    """Return the number of pairs below which no difference can be told from chance."""
    return 1 + math.ceil(math.log2(max(num_methods, 1) / LEVEL))


def _tests(method: str, records: Sequence[Record], base: Sequence[Record]) -> list[Paired]:
    """Pair the runs; scores in other units are tests of their own."""
    theirs = {(r.task, r.seed): r for r in base if _scored(r)}
    pairs = [
        (_unit(ours), ours, theirs[ours.task, ours.seed])
        for ours in records
        if _scored(ours) and (ours.task, ours.seed) in theirs
    ]
    pairs = [(unit, ours, other) for unit, ours, other in pairs if unit == _unit(other)]
    pairs.sort(key=lambda pair: pair[0])
    return [
        _test(method, unit, [(ours, other) for _, ours, other in same])
        for unit, same in groupby(pairs, key=lambda pair: pair[0])
    ]


def _scored(record: Record) -> bool:
    return record.outcome == "ok" and record.main_score is not None


def _unit(record: Record) -> str:
    metric = record.main_metric or "score"
    return "fraction" if is_fraction(metric) else metric


def _test(method: str, unit: str, pairs: Sequence[tuple[Record, Record]]) -> Paired:
    differences = [
        round(((ours.main_score or 0.0) - (other.main_score or 0.0)), DIGITS)
        * (-1 if lowest(ours) else 1)
        for ours, other in pairs
    ]
    return Paired(
        model=pairs[0][0].model,
        method=method,
        unit=unit,
        tasks=len({ours.task for ours, _ in pairs}),
        pairs=len(pairs),
        difference=mean(differences),
        spread=stdev(differences) if len(differences) > 1 else None,
        wins=sum(each > 0 for each in differences),
        losses=sum(each < 0 for each in differences),
        p=signed_rank(differences),
    )


def _holm(tests: Sequence[Paired]) -> list[Paired]:
    """Adjust the p values of one family of tests, in their order."""
    order = sorted(range(len(tests)), key=lambda number: _p(tests[number]))
    adjusted: dict[int, float] = {}
    largest = 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(tests) - place) * _p(tests[number])))
        adjusted[number] = largest
    return [
        replace(
            test,
            adjusted=None if test.p is None else adjusted[number],
            least=min(1.0, len(tests) * 2.0 ** (1 - test.pairs)),
        )
        for number, test in enumerate(tests)
    ]


def _p(test: Paired) -> float:
    return 1.0 if test.p is None else test.p


def signed_rank(differences: Sequence[float]) -> float | None:
    """Return the two-sided p of Wilcoxon's signed-rank test; None where no difference is left.

    Pairs without a difference are dropped, ties share their mean rank, and the distribution is that
    of all 2^n signs of these very ranks: exact with ties, too. Above EXACT_UP_TO pairs it is the
    normal approximation, with its variance corrected for ties and none for continuity.
    """
    moved = [each for each in differences if each]
    if not moved:
        return None
    doubled = _doubled_ranks([abs(each) for each in moved])
    total = sum(doubled)
    upper = sum(rank for rank, each in zip(doubled, moved, strict=True) if each > 0)
    if len(moved) > EXACT_UP_TO:
        deviation = math.sqrt(sum(rank * rank for rank in doubled)) / 2
        return math.erfc(abs(upper - total / 2) / deviation / math.sqrt(2))
    ways = [1] + [0] * total  # of the signs to give each sum of positive ranks
    for rank in doubled:
        for place in range(total, rank - 1, -1):
            ways[place] += ways[place - rank]
    tail = sum(ways[: min(upper, total - upper) + 1])
    return min(1.0, 2 * tail / (1 << len(moved)))


def _doubled_ranks(sizes: Sequence[float]) -> list[int]:
    """Return twice the rank of each size, which is whole where ties share their mean rank."""
    order = sorted(range(len(sizes)), key=lambda number: sizes[number])
    ranks = [0] * len(sizes)
    below = 0
    for _, same in groupby(order, key=lambda number: sizes[number]):
        tied = list(same)
        for number in tied:
            ranks[number] = 2 * below + len(tied) + 1
        below += len(tied)
    return ranks
