"""The ledger's peak against the allocator's own events of a plain step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from harness.metering.ledger import Ledger

KIB = 1024
FULL, LORA = {}, {"lora": True}
CHECKPOINTED = {"checkpointing": True}
BF16 = {"dtype": torch.bfloat16}
CASES = [
    ("bert", FULL),
    ("bert", LORA),
    ("bert", LORA | {"attention": "sdpa"}),
    ("bert", FULL | CHECKPOINTED),
    ("bert", LORA | BF16 | CHECKPOINTED),
    ("deberta", FULL | BF16),
    ("deberta", LORA),
    ("deberta", LORA | CHECKPOINTED),
    ("llama", FULL | CHECKPOINTED),
    ("llama", LORA | BF16),
    ("gpt2", FULL),
    ("gpt2", LORA | BF16 | CHECKPOINTED),
    ("bart", FULL | BF16),
    ("bart", LORA | CHECKPOINTED),
    ("vit", FULL | BF16 | CHECKPOINTED),
    ("vit", LORA),
    ("swin", FULL | CHECKPOINTED),
    ("swin", LORA | BF16),
]


def name_case(case: tuple[str, dict[str, Any]]) -> str:
    family, options = case
    words = [k if v is True else str(v).removeprefix("torch.") for k, v in options.items()]
    return "-".join([family, *(words or ["full"])])


class Profiled:
    """Peaks of the running total of allocator events, relative to the start."""

    def __init__(self, step: Callable[..., None]) -> None:
        self._span: Any = None
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            step(self._mark)
            self._span.__exit__(None, None, None)
        events = list(profiler.profiler.kineto_results.events())
        spans = {e.name()[2:]: e for e in events if e.name().startswith("->")}
        total = self.peak = 0
        self.peaks = dict.fromkeys(spans, 0)
        for event in events:
            if event.name() != "[memory]":
                continue
            total += event.nbytes()
            self.peak = max(self.peak, total)
            for name, span in spans.items():
                if span.start_ns() <= event.start_ns() <= span.start_ns() + span.duration_ns():
                    self.peaks[name] = max(self.peaks[name], total)

    def _mark(self, name: str) -> None:
        if self._span is not None:
            self._span.__exit__(None, None, None)
        self._span = record_function(f"->{name}")
        self._span.__enter__()


@pytest.mark.parametrize(("family", "options"), CASES, ids=map(name_case, CASES))
def test_peak_of_a_step_is_the_allocators(
    family: str, options: dict[str, Any], make_step: Callable[..., Any]
) -> None:
    # oneDNN's bf16 products take scratch memory inside the kernel, which no dispatch shows.
    with torch.backends.mkldnn.flags(enabled=options.get("dtype") is None):
        step = make_step(family, **options)
        # Two steps, so that the meter cannot disturb what it is compared with.
        plain = Profiled(step)
        ledger = Ledger(step.known(), optimizer=step.optimizer, inputs=step.batch.values())
        start = sum(event.block.size for event in ledger.events if event.block)
        with ledger:
            step(ledger.mark)
    report = ledger.report()
    assert plain.peak > 2_000 * KIB
    assert report.peak - start == pytest.approx(plain.peak, abs=8 * KIB)
    if "dtype" not in options:
        for name, peak in report.peaks.items():
            assert peak - start == pytest.approx(plain.peaks[name], abs=8 * KIB), name
    assert sum(report.split.values()) == report.peak
    assert report.undeclared == 0
