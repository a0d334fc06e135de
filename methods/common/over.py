"""Methods over another method's adapters: the option that names it, and the forwarding of hooks."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, ValidationError, WithJsonSchema

from methods.base import Change, Handle, Method
from methods.wording import first_mistake

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Plan, Stage


def _validated(value: Any) -> Any:
    """Check `lora` or `{lora: {r: 4}}`; returns the latter with every option of the method."""
    from methods import get_method

    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ValueError("one method, such as lora or {lora: {r: 4}}")
    [(name, options)] = value.items()
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"{name}: options are a mapping, such as {{{name}: {{r: 4}}}}")
    try:
        method = get_method(name)(**(options or {}))
    except ValidationError as error:
        allowed = get_method(name).model_fields
        raise ValueError(first_mistake(error, name, allowed=allowed)) from None
    return {name: method.model_dump(mode="json")}


# A method by name with its options, as a suite lists it.
Over = Annotated[
    dict[str, dict[str, Any]],
    BeforeValidator(_validated),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "maxProperties": 1}]}),
]


def base_method(over: Over, **changed: Any) -> Method:
    """Return the method that `over` names, with some options changed."""
    from methods import get_method

    [(name, options)] = over.items()
    return get_method(name)(**{**options, **changed})


def attach_base(method: Method, model: nn.Module, plan: Plan, wrapper: str) -> Handle:
    """Attach the base method.

    Raises:
        ValueError: it has no adapters per layer for `wrapper` to work on.
    """
    base = method.attach(model, plan)
    if not any(base.units()):
        raise ValueError(
            f"{wrapper} works on the adapters of each layer, and {method.label} has none in them"
        )
    return base


@dataclass(kw_only=True)
class OverHandle(Handle):
    """Forwards every hook to the handle of the base method; a subclass adds its own part."""

    base: Handle

    @classmethod
    def around(cls, base: Handle, **own: Any) -> Self:
        """Return a handle around `base`, with the subclass's own attributes."""
        same = (
            "adapter", "layers", "buffers", "undecayed", "num_probe", "can_skip", "resumable",
        )  # fmt: skip
        return cls(base.model, base=base, **{key: getattr(base, key) for key in same}, **own)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the base method's tensors."""
        return self.base.parameters()

    def units(self) -> list[list[nn.Parameter]]:
        """Return the base method's units."""
        return self.base.units()

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the tensors that the base method stores."""
        return self.base.overhead()

    def loss(self) -> Tensor | None:
        """Return the base method's own term."""
        return self.base.loss()

    def on_start(self, probe: Iterable[Mapping[str, Tensor]]) -> None:
        """Forward."""
        self.base.on_start(probe)

    def before_forward(self, step: int) -> None:
        """Forward."""
        self.base.before_forward(step)

    def on_gradients(self, step: int) -> Change | None:
        """Forward."""
        return self.base.on_gradients(step)

    def on_step(self, step: int) -> Change | None:
        """Forward."""
        return self.base.on_step(step)

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        """Forward."""
        return self.base.on_epoch(epoch, probe)

    def evaluating(self, on: bool) -> None:
        """Forward."""
        self.base.evaluating(on)

    def compact(self) -> Change | None:
        """Forward, and take over what the base method lists from now on."""
        change = self.base.compact()
        self._take_over()
        return change

    def finish(self, model: nn.Module) -> nn.Module:
        """Let the base method merge what is left of it."""
        return self.base.finish(model)

    def report(self) -> dict[str, Any]:
        """Return what the base method tells."""
        return self.base.report()

    def state_dict(self) -> dict[str, Any]:
        """Return the base method's state, its keys behind `base.`."""
        return {f"base.{key}": value for key, value in self.base.state_dict().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the base method's state."""
        mine = {key: value for key, value in state.items() if key.startswith("base.")}
        self.base.load_state_dict({key.removeprefix("base."): v for key, v in mine.items()})

    def force(self, stage: Stage) -> Change:
        """Forward."""
        return self.base.force(stage)

    def variant(self, step: int) -> Hashable:
        """Forward."""
        return self.base.variant(step)

    def pretend(self, variant: Hashable) -> None:
        """Forward."""
        self.base.pretend(variant)

    def prepare_to_skip(self) -> None:
        """Forward."""
        self.base.prepare_to_skip()
        self.can_skip = True

    def skip(self, layers: Collection[int] | None) -> None:
        """Forward."""
        self.base.skip(layers)

    def prepare_to_fold(self) -> None:
        """Forward."""
        self.base.prepare_to_fold()

    def fold(self, layers: Collection[int]) -> None:
        """Forward, and take over what the base method still lists."""
        self.base.fold(layers)
        self._take_over()

    def _take_over(self) -> None:
        self.adapter, self.layers = self.base.adapter, self.base.layers
        self.buffers = self.base.buffers


def joined(*changes: Change | None) -> Change | None:
    """Return several changes as one; None where there is none."""
    found = [change for change in changes if change]
    if not found:
        return None
    frozen = {id(p): p for change in found for p in change.frozen}
    return Change(
        frozen=tuple(frozen.values()),
        added=tuple(p for change in found for p in change.added),
        resized=tuple(pair for change in found for pair in change.resized),
        reshaped=any(change.reshaped for change in found),
    )
