"""The peak of every step of a phase, from those that were audited: for a mean over steps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from typing import NamedTuple


class Audit(NamedTuple):
    """Padded tokens of a step, and its peak in bytes."""

    tokens: int
    peak: int


class StepPeaks:
    """Peaks by kind of step: steps of one kind differ in their padded tokens only.

    A step that was not audited lies on the line through the shortest and the longest audited one
    of its kind; activations are in proportion to tokens, but for attention without a fused kernel.

    Args:
        steps: of the phase that another process ran.
        peak: the mean over these, in bytes.
    """

    def __init__(self, steps: int = 0, peak: float = 0.0) -> None:
        self._before = (steps, peak)
        self._audits: dict[Hashable, list[Audit]] = defaultdict(list)
        self._tokens: Counter[Hashable] = Counter()
        self._steps: Counter[Hashable] = Counter()

    def audited(self, kind: Hashable, tokens: int, peak: int) -> None:
        """Note the peak of an audited step."""
        self._audits[kind].append(Audit(tokens, peak))

    def ran(self, kind: Hashable, tokens: int) -> None:
        """Count a step, audited or not."""
        self._tokens[kind] += tokens
        self._steps[kind] += 1

    def mean(self, largest: int) -> float:
        """Return the mean over steps; `largest`: the phase's peak, of which audits may lack some.

        On CUDA the allocator counts more than an audit does.
        """
        (before, peak), own = self._before, sum(self._steps.values())
        return (own * (largest - self.below()) + before * peak) / max(1, own + before)

    def below(self) -> float:
        """Return how far the mean step's peak lies below the largest audited one, in bytes."""
        steps = sum(self._steps.values())
        audits = [audit for several in self._audits.values() for audit in several]
        if not audits or not steps:
            return 0.0
        total = sum(count * self._peak_of(kind) for kind, count in self._steps.items())
        return max(audit.peak for audit in audits) - total / steps

    def _peak_of(self, kind: Hashable) -> float:
        """Return the peak of the kind's mean step."""
        every = [audit for several in self._audits.values() for audit in several]
        audits = self._audits.get(kind) or every
        shortest, longest = min(audits), max(audits)
        if shortest.tokens == longest.tokens:
            return longest.peak
        slope = (longest.peak - shortest.peak) / (longest.tokens - shortest.tokens)
        mean = self._tokens[kind] / self._steps[kind]
        return longest.peak - max(0.0, slope) * (longest.tokens - mean)
