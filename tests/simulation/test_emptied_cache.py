"""What the allocator caches is given back every few steps, in the run and in its forecast."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import SM86, forked, request
from real import real_run

from harness.simulation.allocator import CachingAllocator
from harness.simulation.fake import fake_run
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU
from harness.simulation.timeline import timeline

LENGTHS = ((8, 8), (8, 100), (8, 64), (8, 64))


def run(every: int | None) -> Any:
    return forked(fake_run, request("tiny-llama", family="causal_lm", steps=LENGTHS,
                                    empty_cache_steps=every))  # fmt: skip


def test_events_say_when() -> None:
    plain, emptied = run(None), run(2)
    assert [e.kind for e in plain.events].count("empty") == 0
    names = [event.name or event.kind for event in emptied.events if event.block is None]
    assert names == 2 * [*2 * ["forward", "backward", "optimizer", "end"], "empty"]
    assert emptied.report.split == plain.report.split
    assert emptied.report.at_rest == plain.report.at_rest


def test_what_is_reserved_falls_to_what_lives() -> None:
    allocator, after = CachingAllocator(), []
    for event in run(2).events:
        allocator.replay((event,))
        if event.name == "end" or event.kind == "empty":
            after.append(allocator.figures.reserved)
    assert after[2] < after[1], "the long step's memory is given back"
    assert after[3] < after[1], "and the shorter ones do not need it again"


def test_on_the_cpu_there_is_no_cache() -> None:
    asked = [request("tiny-bert", target=CPU, empty_cache_steps=every) for every in (None, 1)]
    first, second = (forked(forecast, one) for one in asked)
    assert first.peak_allocated == second.peak_allocated
    assert real_run(asked[0]).peak == real_run(asked[1]).peak == first.peak_allocated


def test_the_timeline_follows_it() -> None:
    asked = request("tiny-llama", family="causal_lm", steps=LENGTHS, empty_cache_steps=1,
                    target=SM86)  # fmt: skip
    told = forked(timeline, asked)
    assert [name for name, _ in told.parts] == ["forward", "backward", "optimizer"]
    assert max(told.allocated) == told.allocated[told.peak]


@pytest.mark.parametrize(("every", "times"), [(None, 0), (1, 4), (3, 1)])
def test_a_run_on_a_gpu_gives_it_back(
    every: int | None, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real step calls torch for it, after the step's end."""
    from real import real_batch, real_model

    from harness.metering.watch import NoWatch
    from harness.tasks.families import get_family
    from harness.training.attach import build_step
    from methods import get_method

    asked = request("tiny-bert", target=CPU, empty_cache_steps=every)
    state = build_step(real_model(asked), get_method("bitfit")(), asked.plan(), asked.train,
                       torch.device("cpu"), get_family(asked.family))  # fmt: skip
    called: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: called.append(1))
    monkeypatch.setattr(state.step, "device", torch.device("cuda"))
    monkeypatch.setattr("harness.training.step.autocast", lambda *_: torch.enable_grad())
    for number in range(4):
        state.step.run(number, [real_batch(asked, state.model)], asked.parts(), NoWatch())
    assert len(called) == times
