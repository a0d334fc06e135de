"""The contract between a fine-tuning method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict

from methods.numbers import ExactNumbers
from methods.plan import Course, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Change", "Course", "Handle", "Method", "Need", "Plan", "Resized", "Stage"]

# What others may need of a method. One over it: adapters in the layers, that a layer's can be left
# out of a pass, or merged, or that a frozen prefix's output can be kept. An analysis: that its loss
# can be differentiated twice. The setting optimizer_in_backward: that nobody asks for a gradient
# when backward has ended. The setting devices (parallel): that every step gives each trained tensor
# a gradient, and that what the method decides follows from weights, summed gradients and the probe,
# which are the same on all ranks.
Need = Literal["units", "skip", "fold", "cache", "twice", "in_backward", "parallel"]


class Resized(NamedTuple):
    """A trainable tensor that took another one's place.

    Where `new` is what is left of `old` (`old.index_select(dim, kept)`), the optimizer keeps the
    state of what is left; else `new` starts with none.
    """

    old: nn.Parameter
    new: nn.Parameter
    dim: int | None = None
    kept: Tensor | None = None


@dataclass(frozen=True)
class Change:
    """The only way in which a method says that the set of trainable tensors moved.

    Attributes:
        frozen: parameters that stop training for good; a frozen tensor never thaws.
        added: parameters that start to train.
        resized: parameters that others replaced, under the same names.
        reshaped: the forward pass itself is another one from now on (merged, cached, compacted).
    """

    frozen: tuple[nn.Parameter, ...] = ()
    added: tuple[nn.Parameter, ...] = ()
    resized: tuple[Resized, ...] = ()
    reshaped: bool = False

    def __bool__(self) -> bool:
        return bool(self.frozen or self.added or self.resized or self.reshaped)


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
        undecayed: trainable tensors that weight decay leaves alone, beside biases and norms.
        num_probe: training examples that `on_start` and `on_epoch` want to see.
        can_skip: whether `skip` works.
        resumable: whether `state_dict` holds all that a resumed run needs; else there are no
            checkpoints, and an interrupted run starts again.
    """

    model: nn.Module
    adapter: dict[str, nn.Parameter]
    layers: list[list[nn.Parameter]] = field(default_factory=list)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    undecayed: tuple[nn.Parameter, ...] = ()
    num_probe: int = 0
    can_skip: bool = False
    resumable: bool = True

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

    # -- what the loop calls, in this order ------------------------------------------------------

    def on_start(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Run once before the first step, on the model as attached; also before a resumed run.

        `probe` yields batches (inputs and labels, on the device) of `num_probe` training examples:
        a fixed seeded set, the same at every call.
        """

    def before_forward(self, step: int) -> None:
        """Run before the first forward pass of optimizer step `step` (0-based)."""

    def on_gradients(self, step: int) -> Change | None:
        """Run after backward (gradients unscaled), before clipping and the optimizer."""
        return None

    def on_step(self, step: int) -> Change | None:
        """Run after the optimizer's step, before gradients are dropped."""
        return None

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        """Run after epoch `epoch` (0-based) and its evaluation, with the same probe."""
        return None

    def evaluating(self, on: bool) -> None:
        """Run before (`on`) and after every evaluation."""

    def compact(self) -> Change | None:
        """Take out for good what training only masked: heads, channels, ranks; called at the end.

        The adapters stay, and could train on. `state_dict` says afterwards what was taken out, so
        that `load_state_dict` takes it out of a model as attached. None: there is nothing to take.
        """
        return None

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the model that a user would deploy: merged, or without what was pruned."""
        return model

    def report(self) -> dict[str, Any]:
        """Return what the record tells about the run, as JSON: thresholds, steps of freezing."""
        return {}

    def shortfalls(self) -> list[str]:
        """Say at the end of a run what the method promised and did not do, in sentences.

        They stand in the record, in the terminal, and under every table that shows the run. A
        resumed run says the same: what they are made of is in `state_dict`.
        """
        return []

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs beside the tensors: frozen sets, scores, counters."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, on a model as attached (`on_start` has run)."""

    # -- for the forecast, and for counting FLOPs ------------------------------------------------

    def look(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Run what `on_start` and `on_epoch` run on the probe, without values; decide nothing."""

    def force(self, stage: Stage) -> Change:
        """Force a structural state, for the forecast."""
        return Change()

    def variant(self, step: int) -> Hashable:
        """Return which of several forward passes `step` runs, where steps differ (AdapterDrop)."""
        return None

    def pretend(self, variant: Hashable) -> None:
        """Run forward passes as in this variant until told otherwise; None ends it."""

    # -- for methods that work on another one's adapters -----------------------------------------

    def prepare_to_skip(self) -> None:
        """Keep what `skip` needs; called right after attach by a method that will skip.

        Raises:
            ValueError: these adapters cannot be left out of a forward pass.
        """
        if not self.can_skip:
            raise ValueError("these adapters cannot be left out of a forward pass")

    def skip(self, layers: Collection[int] | None) -> None:
        """Leave the adapters of these layers out of forward passes; None leaves all out.

        Every call replaces the one before; `skip(())` brings all back. No gradient reaches what
        is left out, and trainable tensors stay trainable.
        """
        raise NotImplementedError

    def prepare_to_fold(self) -> None:
        """Check that `fold` will work; called right after attach by a method that will fold.

        Raises:
            ValueError: these adapters cannot be added to the base weights, and why.
        """
        raise ValueError("these adapters have no merged form")

    def fold(self, layers: Collection[int]) -> None:
        """Add the adapters of these layers to the base weights and take them out for good.

        `adapter`, `units()` and `overhead()` no longer list them afterwards.
        """
        raise NotImplementedError

    def forget(self, tensors: Collection[int]) -> None:
        """Take the tensors with these ids off the lists: they are no longer in the model."""
        self.adapter = {n: p for n, p in self.adapter.items() if id(p) not in tensors}
        self.buffers = {n: t for n, t in self.buffers.items() if id(t) not in tensors}
        self.layers = [[p for p in unit if id(p) not in tensors] for unit in self.layers]


class Method(ExactNumbers, ABC):
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

    @property
    def revision(self) -> int:
        """How often these options have changed their meaning: part of what a run is known by."""
        return 0

    @abstractmethod
    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Edit `model` in place so that exactly adapter and head (and pooler, if asked) train.

        Must work on fake tensors: no `.item()`, no branch on a value.
        """

    def obstacles(self) -> Mapping[Need, str]:
        """Say what a method over this one cannot have of its adapters, and why.

        A suite that asks for it is refused when it is loaded. What is not named here is tried, and
        may still be refused by the model: when it is attached.
        """
        return {}

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say what the options mean in this run beyond their names, and what they do beside.

        They are sentences for the record, and for the foot of every table that shows the run.
        `model` may be as loaded, or edited by this method; a forecast does not know the plan.
        """
        return []

    def stages(self, plan: Plan) -> list[Stage]:
        """Return the structural states worth a forecast; by default the one it starts in."""
        return [Stage("training")]

    def course(self, plan: Plan) -> Course:
        """Return how its state goes on in a run; by default it stays the one that it starts in.

        Raises:
            ValueError: the run is too short for its schedule.
        """
        return Course()

    def expected_count(self, model: nn.Module) -> int | None:
        """Return the number of trainable adapter parameters by formula, where one is known."""
        return None
