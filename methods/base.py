"""The contract between a fine-tuning method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """What a method may know about the run before it starts."""

    num_steps: int
    steps_per_epoch: int
    num_epochs: int
    seed: int = 0
    train_pooler: bool = False  # the same for every method inside one comparison


@dataclass(frozen=True)
class Stage:
    """A structural state of a method that is worth a forecast, such as "50 % frozen"."""

    name: str
    fraction: float = 0.0


@dataclass(frozen=True)
class Change:
    """The only way in which a method says that the set of trainable tensors moved.

    Attributes:
        frozen: parameters that stop training for good; a frozen tensor never thaws.
        added: parameters that start to train.
        resized: pairs (old, new) of a parameter that another one replaced.
    """

    frozen: tuple[nn.Parameter, ...] = ()
    added: tuple[nn.Parameter, ...] = ()
    resized: tuple[tuple[nn.Parameter, nn.Parameter], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.frozen or self.added or self.resized)


@dataclass
class Handle:
    """One method attached to one model, alive during one run; every hook defaults to nothing.

    Attributes:
        model: the module that the loop calls. Methods edit the model in place; only peft's
            prompt types wrap it.
        adapter: the adapter's trainable tensors by name; classification head and pooler excluded,
            a shared tensor once. This is the convention that reproduces the published counts.
        layers: the adapter tensors of each transformer layer, lowest layer first.
        buffers: frozen tensors that the method stores (shared projections, masks, scores).
    """

    model: nn.Module
    adapter: dict[str, nn.Parameter]
    layers: list[list[nn.Parameter]] = field(default_factory=list)
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the adapter's tensors, without the head."""
        yield from self.adapter.values()

    def units(self) -> list[list[nn.Parameter]]:
        """Return the adapter tensors of every transformer layer, the lowest layer first."""
        return self.layers

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the tensors that the memory split counts as `method`."""
        return self.buffers

    def loss(self) -> Tensor | None:
        """Return a term to add to the task's loss in this step, or None."""
        return None

    def before_forward(self, step: int) -> None:
        """Run before the first forward pass of optimizer step `step` (0-based)."""

    def on_gradients(self, step: int) -> Change | None:
        """Run after backward (gradients unscaled), before clipping and the optimizer."""
        return None

    def on_step(self, step: int) -> Change | None:
        """Run after the optimizer's step, before gradients are dropped."""
        return None

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        """Run after epoch `epoch` (0-based); `probe` yields batches from a fixed seeded set."""
        return None

    def apply(self, stage: Stage) -> Change:
        """Force a structural state, for the forecast."""
        return Change()

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the model that a user would deploy: merged, or without what was pruned."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs beside the tensors: frozen sets, scores, counters."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class Method(BaseModel, ABC):
    """A validated configuration and a recipe; holds no tensors.

    A subclass declares its options as pydantic fields and is registered by one line in
    `methods/__init__.py`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]

    @property
    def label(self) -> str:
        """Short name of this configuration in paths and tables, such as `lora-r8`."""
        return self.name

    @abstractmethod
    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Edit `model` in place so that exactly adapter and head (and pooler, if asked) train.

        Must work on fake tensors: no `.item()`, no branch on a value.
        """

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the structural states worth a forecast; by default the one it starts in."""
        return [Stage("training")]

    def expected_count(self, model: nn.Module) -> int | None:
        """Return the number of trainable adapter parameters by formula, where one is known."""
        return None
