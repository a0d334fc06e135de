"""The score of gradients and the two ways to select by it."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from sizes import build
from torch import Tensor

from harness.published.published import table
from methods import Plan
from methods.aflora.handle import AfloraHandle
from methods.aflora.method import Aflora
from methods.aflora.score import FreezingSchedule, FreezingScore

RTE = FreezingSchedule(start=39, end=234, interval=1, shape="cubic")  # 20 epochs of 39 steps
# AFLoRA (Liu et al., 2024), Fig. 5, digitised from the picture: steps of freezing on RTE.
FIG_5 = table("aflora_fig5").figures
GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(3, 5, generator=GENERATOR)
GRADS = torch.randn(12, 3, 5, generator=GENERATOR)


def scored(grads: Tensor, window: int | None = None, **options: Any) -> FreezingScore:
    score = FreezingScore(
        options.get("sensitivity", "gradient"),
        options.get("beta1", 0.85),
        options.get("beta2", 0.95),
        window,
    )
    score.add("w", WEIGHT)
    for step, grad in enumerate(grads):
        score.update("w", WEIGHT, grad, step)
    return score


def with_values(**values: list[float]) -> FreezingScore:
    """Make tensors whose elements of I-bar * U-bar are `values`."""
    score = FreezingScore("gradient", 0.85, 0.95)
    for name, elements in values.items():
        score.add(name, torch.tensor(elements))
    kept = score.tensors()
    for name, elements in values.items():
        kept[f"{name}.sensitivity"].copy_(torch.tensor(elements))
        kept[f"{name}.uncertainty"].fill_(1)
    return score


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0), (39, 0), (60, 0.290), (100, 0.676), (150, 0.920), (234, 1)]
)
def test_schedule_on_rte(step: int, share: float) -> None:
    assert RTE.share(step) == pytest.approx(share, abs=5e-4)


def test_schedule_bounds_and_shapes() -> None:
    assert 0.999 < RTE.share(230) < RTE.share(233) < 1 == RTE.share(234) == RTE.share(779)
    middle = (39 + 234) / 2
    assert [FreezingSchedule(39, 234, 1, s).share(middle) for s in ("cubic", "quadratic")] == [
        0.875,
        0.25,
    ]


def test_schedule_selects_at_intervals_and_always_near_the_end() -> None:
    every_ten = FreezingSchedule(start=39, end=234, interval=10, shape="cubic")
    assert [t for t in range(238) if every_ten.selects(t)] == [*range(40, 231, 10), 235, 236, 237]
    assert [t for t in range(60) if RTE.selects(t)] == list(range(40, 60))


@pytest.mark.parametrize(
    "sensitivity", ["gradient", "weight_times_gradient", "gradient_over_weight"]
)
@pytest.mark.parametrize("window", [None, 5])
def test_score_as_numpy_has_it(sensitivity: str, window: int | None) -> None:
    w, mean, spread = WEIGHT.double().numpy(), np.zeros((3, 5)), np.zeros((3, 5))
    measured = [np.abs(g) for g in GRADS.double().numpy()]
    if sensitivity != "gradient":
        power = 1 if sensitivity == "weight_times_gradient" else -1
        measured = [g * np.abs(w) ** power for g in measured]
    ticks = measured
    if window:  # a tick at steps 0, 5 and 10, each with the window before it
        ticks = [np.zeros((3, 5)), np.mean(measured[:5], 0), np.mean(measured[5:10], 0)]
    for now in ticks:
        mean = 0.85 * mean + 0.15 * now
        spread = 0.95 * spread + 0.05 * np.abs(now - mean)
    score = scored(GRADS, window, sensitivity=sensitivity)
    assert score.score("w").item() == pytest.approx((mean * spread).mean(), rel=1e-5)


def test_a_weight_of_zero_divides_nothing_by_zero() -> None:
    score = FreezingScore("gradient_over_weight", 0.85, 0.95)
    score.add("w", torch.zeros(2))
    score.update("w", torch.zeros(2), torch.tensor([0.0, 1.0]), 0)
    assert score.tensors()["w.sensitivity"].isfinite().all()


def test_constant_gradient_scores_nothing_in_the_end() -> None:
    kept = scored(torch.full((400, 3, 5), -2.0)).tensors()
    torch.testing.assert_close(kept["w.sensitivity"], torch.full((3, 5), 2.0))
    assert 0 < kept["w.uncertainty"].max() < 1e-6
    assert scored(torch.full((20, 3, 5), -2.0)).score("w") > 0.1


def test_score_grows_with_the_square_of_the_gradients() -> None:
    assert scored(7 * GRADS).score("w") / scored(GRADS).score("w") == pytest.approx(49)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("window", [None, 5])
def test_gradients_that_are_not_finite_are_left_out(bad: float, window: int | None) -> None:
    grads = GRADS[:8].clone()
    grads[7, 1, 1] = bad
    before, after = scored(grads[:7], window).tensors(), scored(grads, window).tensors()
    assert before["w.sensitivity"].any()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_lowest_ranks_by_score_then_name() -> None:
    score = with_values(d=[1.0, 1], c=[1.0], b=[3.0], a=[0.0, 4])
    groups = [("d",), ("c",), ("b",), ("a",)]
    assert score.lowest(groups, 3) == [("c",), ("d",), ("a",)]
    assert score.lowest(groups, 0) == []
    # Together, b and c score (3 + 1) / 2, as a does.
    assert score.lowest([("b", "c"), ("a",), ("d",)], 2) == [("d",), ("a",)]


def test_threshold_pools_all_elements() -> None:
    score = with_values(a=[0.0, 0, 9], b=[1.0, 2], c=[3.0, 9, 5, 11])
    groups = [("a",), ("b",), ("c",)]
    elements = sorted([0.0, 0, 9, 1, 2, 3, 9, 5, 11])
    means = {"a": 3.0, "b": 1.5, "c": 7.0}
    for share in (0.12, 0.4, 0.5, 0.6, 0.8, 0.95):
        theta = elements[int(9 * share) - 1]
        expected = [g for g in groups if means[g[0]] < theta]
        assert score.below_threshold(groups, share) == expected, share
    assert score.below_threshold(groups, 0.11) == [], "k = 0 freezes nothing and does not raise"
    assert score.below_threshold(groups, 1.0) == groups
    assert score.below_threshold([("a", "b"), ("c",)], 0.6) == [("a", "b")], "2.25 is below 3"


def test_equal_scores_still_freeze_at_the_end() -> None:
    score = with_values(a=[1.0, 1], b=[1.0])
    assert score.below_threshold([("a",), ("b",)], 0.99) == []
    assert score.below_threshold([("a",), ("b",)], 1.0) == [("a",), ("b",)]


def test_published_map_of_rte() -> None:
    model = build("deberta-v3-base")
    handle = Aflora(rule="official").attach(model, Plan(780, 39, 20))
    assert isinstance(handle, AfloraHandle)
    assert sum(tensor.numel() for tensor in handle.score.tensors().values()) == 3 * 368_640
    modules = {"inter": "intermediate.dense", "out": "output.dense"}
    frozen_at = {}
    for figure in FIG_5:
        _, tensor, layer = figure.metric.split("/")
        module, _, matrix = tensor.partition(".")
        name = f"deberta.encoder.layer.{layer.removeprefix('layer')}.{modules[module]}.{matrix}"
        frozen_at[name] = int(figure.text)
    assert set(frozen_at) == set(handle.adaptive)
    handle.load_state_dict({"frozen_at": frozen_at})
    # 132,660 counts steps 0 to s exclusive of what froze at s: the steps that updated it. Counting
    # what trains as a step begins, s inclusive, gives 133,132.
    assert round(handle.report()["mean_updated_parameters"]) == 132_660
    assert not handle.score.tensors()


@pytest.mark.parametrize(
    ("epoch_lengths", "adaptive", "expected"),
    [
        # Steps per epoch of RTE, MRPC, STS-B, CoLA; of SST-2 and QNLI; all at batch 64.
        ([39, 58, 90, 134], 368_640, (124_800, 124_900)),
        ([1053, 1637], 368_640, (138_500, 138_600)),
        ([39, 58, 90, 134, 1053, 1637], 663_552, (166_350, 166_450)),
        ([39, 58, 90, 134, 1053, 1637], 294_912, (120_150, 120_250)),
    ],
)
def test_mean_by_equation_5(
    epoch_lengths: list[int], adaptive: int, expected: tuple[int, int]
) -> None:
    means = []
    for steps in epoch_lengths:
        epochs = 10 if steps > 1000 else 20
        schedule = FreezingSchedule(steps, round(0.3 * steps * epochs), 1, "cubic")
        left = fmean(1 - schedule.share(step) for step in range(steps * epochs))
        means.append(83_232 + adaptive * left)
    assert expected[0] <= fmean(means) <= expected[1]
