"""What a run's memory was, as the page needs it: the split, the holders, the phases. Bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.record import Memory, PhaseMemory
from harness.reporting.comparison import SPLIT, coarse
from harness.reporting.page.pool import Pool, known

REST = "not split"


def parts() -> list[str]:
    """Return the names of what `split_of` returns."""
    return [*SPLIT, REST]


def split_of(split: Mapping[str, int], peak: int) -> list[int]:
    """Return the coarse split in the order of SPLIT, and what of the peak it does not name."""
    named = [*coarse(dict(split)).values()]
    return [*named, max(0, peak - sum(named))]


def memory_data(memory: Memory, pool: Pool, most_phases: int) -> dict[str, Any]:
    """Return a run's peaks, and of the phase that has the highest what was alive then."""
    if not memory.phases:
        return {"peak": memory.peak_training}
    highest = max(memory.phases, key=lambda phase: phase.peak_allocated)
    return known(
        peak=memory.peak_training,
        mean=memory.peak_step_mean,
        last=memory.peak_last_phase,
        evaluation=memory.peak_evaluation,
        probe=memory.peak_probe,
        reserved=max((p.peak_reserved or 0 for p in memory.phases), default=0) or None,
        device=max((p.peak_device or 0 for p in memory.phases), default=0) or None,
        shared=len(memory.other_processes) or None,
        split=split_of(highest.split, highest.peak_allocated),
        peaks=highest.peaks,
        rest=highest.at_rest,
        saved=highest.saved_activations,
        holders=[_holder(each, pool) for each in highest.holders],
        phases=_phases(memory.phases, most_phases) if len(memory.phases) > 1 else None,
        phases_of=len(memory.phases) if len(memory.phases) > most_phases else None,
        total=sum(phase.steps for phase in memory.phases),
    )


def _phases(phases: Sequence[PhaseMemory], most: int) -> list[list[Any]]:
    """Return the phases, or of too many some, with the first, the last and the highest among them.

    Each lasts until the next.
    """
    places = {*range(len(phases))}
    if len(phases) > most:
        highest = max(places, key=lambda i: phases[i].peak_allocated)
        places = {round(i * (len(phases) - 1) / (most - 1)) for i in range(most)} | {highest}
    kept = [phases[i] for i in sorted(places)]
    end = phases[-1].first_step + phases[-1].steps
    untils = [*(phase.first_step for phase in kept[1:]), end]
    return [_phase(phase, until) for phase, until in zip(kept, untils, strict=True)]


def _phase(phase: PhaseMemory, until: int) -> list[Any]:
    return [
        phase.first_step, until - phase.first_step, phase.trainable, phase.shallowest_live_layer,
        phase.peak_allocated, *split_of(phase.split, phase.peak_allocated),
    ]  # fmt: skip


def _holder(holder: Mapping[str, Any], pool: Pool) -> list[Any]:
    """Return category, place and operation by number, then bytes and blocks."""
    words = (pool.number(str(holder.get(name, ""))) for name in ("category", "path", "op"))
    return [*words, holder.get("num_bytes", 0), holder.get("num_blocks", 0)]
