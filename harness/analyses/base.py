"""The contract between an analysis and a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import ConfigDict

from methods.numbers import ExactNumbers

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from methods.base import Handle, Method


class Weighed(NamedTuple):
    """A batch with labels, and the share of the whole sample's mean loss that its own mean is."""

    inputs: Mapping[str, Tensor]
    share: float


@dataclass(frozen=True)
class Subject:
    """The run that is looked at.

    Attributes:
        handle: the method at work on its model, which is in eval mode.
        trained: names of every tensor that has trained so far, as the model calls them.
        num_steps: optimizer steps of the whole run.
        batch_size: examples of a forward pass in training.
        seed: of the run.
        device: where the batches are.
        sample: so many training examples, in batches of at most so many: a fixed seeded choice.
        loss: the mean loss of a batch as it trains, without what the method adds to it.
        tell: says what is done, for people who wait.
    """

    handle: Handle
    trained: Collection[str]
    num_steps: int
    batch_size: int
    seed: int
    device: torch.device
    sample: Callable[[int, int], Sequence[Weighed]]
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    tell: Callable[[str], None]

    @property
    def model(self) -> nn.Module:
        """The model that trains."""
        return self.handle.model


@dataclass
class Found:
    """What an analysis found out, as JSON.

    Attributes:
        headline: the few figures that stand in a table, by what they are called there.
        content: all of it, to draw from.
        notes: what has to be known of it, in sentences.
    """

    headline: dict[str, float] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Study(ABC):
    """An analysis at work in one run; every hook but `conclude` defaults to nothing.

    Hooks run between steps, in eval mode, with gradients on, apart from the run's time and memory
    and with random generators of their own. They leave the model as it was.
    """

    def moments(self, num_steps: int) -> Collection[int]:
        """Return after how many steps `observe` wants to be called; 0: before the first."""
        return ()

    def observe(self, subject: Subject, step: int) -> None:  # noqa: B027
        """Look at the run after `step` steps."""

    @abstractmethod
    def conclude(self, subject: Subject) -> Found:
        """Return what was found, at the run's end, on the model that the scores are of."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: nested dicts and lists of tensors and JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restore what `state_dict` returned."""


class Analysis(ExactNumbers, ABC):
    """The options of an analysis, as a suite gives them; holds no tensors.

    A subclass declares them as pydantic fields and is registered by one line in
    `harness/analyses/__init__.py`. Its module imports torch inside of functions only.

    Attributes:
        exact: it needs float32 throughout and attention that can be differentiated twice; others
            run in the run's own precision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    exact: ClassVar[bool] = False

    @abstractmethod
    def begin(self) -> Study:
        """Return a study of a run that is about to start."""

    def obstacle(self, method: Method, attention: str, precision: str) -> str | None:
        """Say why it cannot be done on runs of this method with these settings; None: it can."""
        return None
