"""The peak of every step of a phase, from those that were audited: for a mean over steps."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple


class Audit(NamedTuple):
    """Padded tokens of a step, and its peak in bytes."""

    tokens: int
    peak: int


class StepPeaks:
    """Peaks by kind of step: steps of one kind differ in their padded tokens only.

    A step that was not audited lies on the line through the shortest and the longest audited one
    of its kind; activations are in proportion to tokens, but for attention without a fused kernel.
    """

    def __init__(self) -> None:
        self._audits: dict[str, list[Audit]] = defaultdict(list)
        self._tokens: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()

    def state_dict(self) -> dict[str, Any]:
        """Return all of it, as JSON has it."""
        return {"audits": self._audits, "tokens": self._tokens, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another process's."""
        for kind, audits in state["audits"].items():
            self._audits[kind] = [Audit(*audit) for audit in audits]
        self._tokens, self._steps = Counter(state["tokens"]), Counter(state["steps"])

    def audited(self, kind: str, tokens: int, peak: int) -> None:
        """Note the peak of an audited step."""
        self._audits[kind].append(Audit(tokens, peak))

    def ran(self, kind: str, tokens: int) -> None:
        """Count a step, audited or not."""
        self._tokens[kind] += tokens
        self._steps[kind] += 1

    def mean(self, largest: int) -> float:
        """Return the mean over steps; `largest`: the phase's peak, of which audits may lack some.

        On CUDA the allocator counts more than an audit does.
        """
        return largest - self.below()

    def below(self) -> float:
        """Return how far the mean step's peak lies below the largest audited one, in bytes."""
        steps = sum(self._steps.values())
        audits = [audit for several in self._audits.values() for audit in several]
        if not audits or not steps:
            return 0.0
        total = sum(count * self._peak_of(kind) for kind, count in self._steps.items())
        return max(audit.peak for audit in audits) - total / steps

    def _peak_of(self, kind: str) -> float:
        """Return the peak of the kind's mean step."""
        every = [audit for several in self._audits.values() for audit in several]
        audits = self._audits.get(kind) or every
        shortest, longest = min(audits), max(audits)
        if shortest.tokens == longest.tokens:
            return longest.peak
        slope = (longest.peak - shortest.peak) / (longest.tokens - shortest.tokens)
        mean = self._tokens[kind] / self._steps[kind]
        return longest.peak - max(0.0, slope) * (longest.tokens - mean)
