"""How much a run has to do: its steps, evaluations and looks at the probe, by number and tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import TaskData
    from harness.tasks.families.base import Encoded

PARTS = 48  # of a spread of sizes; time is nearly a line between the means of two of them


@dataclass(frozen=True)
class Sizes:
    """How large a run's activities of one kind are, in padded tokens of inputs and labels.

    Attributes:
        spread: (tokens, how many of them), rising; large runs have means of equal parts.
        count: how many there are in the whole run; None: not known.
    """

    spread: tuple[tuple[float, int], ...]
    count: int | None

    @property
    def mean(self) -> float:
        """Tokens of a mean one."""
        return sum(size * n for size, n in self.spread) / sum(n for _, n in self.spread)

    @property
    def median(self) -> float:
        """Tokens of the one in the middle."""
        half, below = sum(n for _, n in self.spread) / 2, 0
        for size, n in self.spread:
            below += n
            if below >= half:
                return size
        raise ValueError("there is none")


@dataclass(frozen=True)
class RunSizes:
    """What a run does.

    Attributes:
        steps: optimizer steps, with all passes of each.
        evaluations: batches evaluated in the whole run; None: not known.
        epochs: that are begun; after each the method may look at its probe.
        rows: training examples, or packs of them; None: not known.
        steps_per_epoch: of a whole epoch; None: as many in each.
    """

    steps: Sizes
    evaluations: Sizes | None = None
    epochs: int = 1
    rows: int | None = None
    steps_per_epoch: int | None = None


def sizes_of(tokens: Iterable[int]) -> Sizes:
    """Return the spread of the sizes of all activities of one kind, at least one."""
    ordered = sorted(tokens)
    given = len(ordered)
    if len(set(ordered)) <= PARTS:
        spread = tuple((float(size), n) for size, n in sorted(Counter(ordered).items()))
    else:
        cuts = [given * i // PARTS for i in range(PARTS + 1)]
        parts = [ordered[a:b] for a, b in pairwise(cuts)]
        spread = tuple((fmean(part), len(part)) for part in parts)
    return Sizes(spread, given)


def evaluated_sizes(
    evaluations: Mapping[str, Encoded],
    settings: TrainSettings,
    times: Mapping[str, int],
    rank: int = 0,
) -> Sizes | None:
    """Return the sizes of all batches that a rank evaluates, each evaluation so many times."""
    from harness.training.batches import evaluation_order, width_of

    tokens = [
        data.shape(batch, width_of(settings)).tokens
        for name, data in evaluations.items()
        for batch in evaluation_order(data, settings)[rank :: settings.devices] * times.get(name, 1)
    ]
    return sizes_of(tokens) if tokens else None


def times_evaluated(data: TaskData, every_epoch: bool, num_epochs: int) -> dict[str, int]:
    """Return how often a run makes each evaluation; that of the reported epoch is not made anew."""
    once = dict.fromkeys(data.scored(every_epoch), 1)
    return {**once, data.select_on: num_epochs} if every_epoch else once
