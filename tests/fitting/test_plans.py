"""The order in which one kind's candidates are looked at, with made-up estimates."""

from __future__ import annotations

from harness.fitting.asking import Typed, wanted_of
from harness.fitting.candidates import Candidate, candidates_of, cells_of
from harness.fitting.found import Found
from harness.fitting.plans import Plan
from harness.fitting.verdict import Verdict
from harness.forecasting.estimates import Estimate
from harness.forecasting.result import Forecast

ROOM = 1000


def plan(batch: int = 8, methods: str = "lora") -> Plan:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, batch=batch, methods=methods))
    kind = wanted.kinds[0]
    return Plan(kind, candidates_of(kind, wanted), ROOM)


def found(candidate: Candidate, verdict: Verdict) -> Found:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, batch=8, methods="full,lora"))
    [cell] = cells_of(wanted, [candidate])
    entry = Forecast(
        cell="c", method="m", model="m", task="t", gpu="g", stage="training", steps=[(1, 8)],
        device=1, margin=-1 if verdict == "does not fit" else 1,
    )  # fmt: skip
    return Found(candidate, cell, (entry,), entry, verdict)


def test_a_step_is_taken_apart_into_as_few_passes_as_fit() -> None:
    """500 B at rest and 100 B an example: 4 of 8 examples fit, and 5 would."""
    one = plan()
    plain = one.plain
    one.add([(plain, Estimate(reserved=1300))])
    [least] = one.split()
    assert (least.settings, least.examples, least.passes) == (plain.settings, 1, 8)
    one.add([(least, Estimate(reserved=600))])
    [split] = one.split()
    assert (split.examples, split.passes) == (4, 2)
    assert split.words == ["2 x 4"]
    one.add([(split, Estimate(reserved=900))])
    assert one.split() == []


def test_what_does_not_fit_with_one_example_is_left_alone() -> None:
    one = plan()
    one.add([(one.plain, Estimate(reserved=2300)), (one.plain.in_passes(8) or one.plain,
                                              Estimate(reserved=1600))])  # fmt: skip
    assert one.split() == []


def test_a_step_in_backward_sums_no_gradients_up() -> None:
    one = plan(methods="full")
    early = next(c for c in one.candidates if dict(c.settings)["optimizer_in_backward"])
    assert early.in_passes(2) is None
    assert [end.passes for end in one.ends() if end.group == early.group] == [1]


def test_a_faster_one_is_looked_at_before_a_slower_one_that_fits_is_taken() -> None:
    one = plan(batch=1)
    first, second, third = one.candidates[:3]
    one.add(
        [
            (first, Estimate(reserved=990, seconds=1.0)),
            (second, Estimate(reserved=980, seconds=2.0)),
            (third, Estimate(reserved=500, seconds=3.0)),
        ]
    )
    known = {first: found(first, "does not fit"), third: found(third, "fits")}
    assert second in one.next(known)
    known[second] = found(second, "fits")
    assert second not in one.next(known)


def test_an_optimizer_whose_leanest_does_not_fit_is_searched_no_further() -> None:
    one = plan(batch=1, methods="full")
    known = {one.plain: found(one.plain, "does not fit")}
    for end in one.ends():
        fits = dict(end.settings)["optimizer"] == "adamw-paged-8bit"
        one.add([(end, Estimate(reserved=900 if fits else 5000))])
    left = {c.group[0] for c in one.worth(known) if not c.differs_once(one.plain)}
    assert left == {"adamw-paged-8bit"}


def test_paged_states_stand_behind_what_is_timed() -> None:
    one = plan(batch=1, methods="full")
    paged = next(c for c in one.candidates if c.pages)
    one.add(
        [
            (paged, Estimate(reserved=100, seconds=0.1)),
            (one.plain, Estimate(reserved=900, seconds=5.0)),
        ]
    )
    assert one.first()[0] == one.plain
