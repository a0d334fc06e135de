"""What a step of somebody else's works on: the tensors, models and optimizers that it refers to."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass
class Found:
    """Everything that objects refer to, each once; models by the name that refers to them."""

    tensors: list[Tensor] = field(default_factory=list)
    models: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: list[Optimizer] = field(default_factory=list)


def found_in(*roots: Any) -> Found:
    """Look through objects, what functions close over, and the globals that they name.

    Libraries' own functions and classes are not looked through.
    """
    found, seen = Found(), set[int]()
    waiting: list[tuple[str, Any]] = [("", root) for root in roots]
    inside: set[int] = set()  # modules of a model that is found
    while waiting:
        name, each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Tensor):
            found.tensors.append(each)
        elif isinstance(each, nn.Module):
            if id(each) not in inside:
                found.models[_unused(name or type(each).__name__, found.models)] = each
                inside |= {id(module) for module in each.modules()}
        elif isinstance(each, Optimizer):
            found.optimizers.append(each)
        waiting += reversed(list(_referred(each)))
    kept = {id(m): m for model in found.models.values() for m in list(model.modules())[1:]}
    found.models = {name: m for name, m in found.models.items() if id(m) not in kept}
    return found


def _unused(name: str, taken: dict[str, nn.Module]) -> str:
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)


def _referred(each: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object refers to, by the name it has there."""
    if isinstance(each, Tensor):
        yield "", each.grad if each.is_leaf else None
        yield "", vars(each)
    elif isinstance(each, dict):
        for key, value in list(each.items()):
            yield str(key), value
            if isinstance(key, Tensor):
                yield "", key
    elif isinstance(each, list | tuple | set | frozenset):
        yield from (("", item) for item in each)
    elif isinstance(each, partial):
        yield from (("", part) for part in (each.func, each.args, each.keywords))
    elif isinstance(each, MethodType):
        yield from (("", part) for part in (each.__self__, each.__func__))
    elif isinstance(each, FunctionType):
        yield from _named_by(each)
    elif not isinstance(each, type | ModuleType | str | bytes) and hasattr(each, "__dict__"):
        yield from list(vars(each).items())
        call = vars(type(each)).get("__call__")
        if isinstance(call, FunctionType):
            yield "", call
    slots = (s for kind in type(each).__mro__ for s in _slots_of(kind))
    yield from ((s, getattr(each, s)) for s in slots if hasattr(each, s))


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    mine = not kind.__module__.startswith(("torch", "builtins", "collections"))
    return ((slots,) if isinstance(slots, str) else tuple(slots)) if mine else ()


def _named_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function closes over, its defaults, and the globals that its code names."""
    if function.__code__.co_filename.startswith(libraries()):
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet bound
            continue
    yield "", function.__defaults__
    yield "", function.__kwdefaults__
    yield "", getattr(function, "__wrapped__", None)
    codes = [function.__code__]
    for code in codes:  # functions inside of it, too
        codes += [constant for constant in code.co_consts if isinstance(constant, type(code))]
    for name in {name for code in codes for name in code.co_names}:
        if name in function.__globals__:
            yield name, function.__globals__[name]


@cache
def libraries() -> tuple[str, ...]:
    """Return the folders of installed packages and of Python's own library."""
    paths = sysconfig.get_paths()
    folders = [paths["purelib"], paths["platlib"], paths["stdlib"]]
    folders += [sys.modules["torch"].__path__[0]]
    return tuple({f"{folder}/" for folder in folders} | {"<frozen"})
