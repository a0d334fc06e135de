"""Methods over another method's adapters: the option that names it, and the forwarding of hooks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, ValidationError, WithJsonSchema

from methods.base import Change, Handle, Method
from methods.wording import first_mistake, nearest

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Need, Plan


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
        wrong = first_mistake(error, name, model=get_method(name), given=options)
        raise ValueError(wrong) from None
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


class OverMethod(Method):
    """A method over another one's adapters, which is as that one is where it says nothing else.

    A subclass has the option `over`.
    """

    if TYPE_CHECKING:
        over: Over

    @property
    def base(self) -> Method:
        """The base method, as it is attached."""
        return base_method(self.over)

    @property
    def revision(self) -> int:
        """Return the base method's."""
        return self.base.revision

    def obstacles(self) -> Mapping[Need, str]:
        """Return the base method's."""
        return self.base.obstacles()

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Return the base method's."""
        return self.base.remarks(model, plan)

    def expected_count(self, model: nn.Module) -> int | None:
        """Return the base method's count."""
        return self.base.expected_count(model)


def check_base(wrapper: str, over: Over, needs: Mapping[Need, str]) -> None:
    """Refuse a base method that cannot give what a method over it needs, or that is the same.

    Args:
        wrapper: name of the method over it.
        over: the base method.
        needs: what is needed, and who asks for it: the method over it, or an option of that.

    Raises:
        ValueError: naming who asks, the base method, why, and which methods can.
    """
    from methods import METHODS, get_method

    def found(method: Method) -> list[tuple[Need, str]]:
        return [(need, why) for need, why in method.obstacles().items() if need in needs]

    below: Any = base_method(over)
    while hasattr(below, "over"):
        if below.name == wrapper:
            raise ValueError(f"{wrapper} stands over {wrapper}: the two would undo each other")
        below = base_method(below.over)
    for need, why in found(base_method(over))[:1]:
        able = []
        for name in METHODS:
            fields = get_method(name).model_fields.values()
            if not any(f.is_required() for f in fields) and not found(get_method(name)()):
                able.append(name)
        [name] = over
        raise ValueError(f"{needs[need]} does not work over {name!r}: {why}; {nearest(name, able)}")


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
    """Passes every call on to the handle of the base method; a subclass adds its own part.

    Attributes:
        base: the base method's handle.
    """

    base: Handle

    @classmethod
    def around(cls, base: Handle, **own: Any) -> Self:
        """Return a handle around `base`, with the subclass's own attributes."""
        same = (
            "adapter", "layers", "buffers", "undecayed", "num_probe", "can_skip", "resumable",
        )  # fmt: skip
        return cls(base.model, base=base, **{key: getattr(base, key) for key in same}, **own)

    def compact(self) -> Change | None:
        """Compact the base method, and take over what it lists from now on."""
        change = self.base.compact()
        self._take_over()
        return change

    def state_dict(self) -> dict[str, Any]:
        """Return the base method's state, its keys behind `base.`."""
        return {f"base.{key}": value for key, value in self.base.state_dict().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the base method's state."""
        mine = {key: value for key, value in state.items() if key.startswith("base.")}
        self.base.load_state_dict({key.removeprefix("base."): v for key, v in mine.items()})

    def prepare_to_skip(self) -> None:
        """Have the base method keep what `skip` needs."""
        self.base.prepare_to_skip()
        self.can_skip = True

    def fold(self, layers: Collection[int]) -> None:
        """Fold the base method's adapters, and take over what it still lists."""
        self.base.fold(layers)
        self._take_over()

    def _take_over(self) -> None:
        self.adapter, self.layers = self.base.adapter, self.base.layers
        self.buffers = self.base.buffers


def _passed_on(name: str) -> Callable[..., Any]:
    """Return a method that calls the base's; what a change replaced is then listed anew."""

    @wraps(getattr(Handle, name))
    def call(self: OverHandle, *args: Any, **kwargs: Any) -> Any:
        answer = getattr(self.base, name)(*args, **kwargs)
        if isinstance(answer, Change) and (answer.added or answer.resized or answer.reshaped):
            self._take_over()
        return answer

    return call


# All that the class above does not do itself.
PASSED_ON = (
    "parameters", "units", "overhead", "loss", "on_start", "before_forward", "on_gradients",
    "on_step", "on_epoch", "evaluating", "finish", "report", "shortfalls", "force", "variant",
    "pretend", "skip", "prepare_to_fold", "look",
)  # fmt: skip
for _name in PASSED_ON:
    setattr(OverHandle, _name, _passed_on(_name))


def joined(*changes: Change | None) -> Change | None:
    """Return several changes as one; None where there is none."""
    parts = [change for change in changes if change]
    if not parts:
        return None
    frozen = {id(p): p for change in parts for p in change.frozen}
    return Change(
        frozen=tuple(frozen.values()),
        added=tuple(p for change in parts for p in change.added),
        resized=tuple(pair for change in parts for pair in change.resized),
        reshaped=any(change.reshaped for change in parts),
    )
