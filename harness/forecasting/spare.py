"""Imports of transformers and peft, without what a forecast never touches.

Half of the time of `import torch, transformers, peft` goes to torch's compiler (with SymPy), to
distributed tensors and checkpoints, to SciPy, and to looking twice through transformers' models. A
forecast compiles nothing, has one device and matches no boxes. So while the libraries are imported
within `spared`,

- torch says that it was built without `torch.distributed`, as it is on some platforms, and
  transformers does without;
- `LATE` modules have the few names that are asked of them where they are not at work, and become
  the real ones as soon as anybody wants another, or calls a function of theirs;
- transformers finds the second time what it found in the folder of its models the first time.

For processes that forecast and do nothing else: a run imports everything as its libraries do.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache, partial, wraps
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock


class Late(ModuleType):
    """A module that is imported when it is asked for a name that it does not have yet.

    Args:
        name: of the module.
        package: whether it has modules inside, which the real one then imports.
        names: what it has.
    """

    def __init__(self, name: str, package: bool, **names: Any) -> None:
        super().__init__(name)
        self.__dict__.update(names)
        self.__dict__["_package"] = package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not (name == "__path__" and self._package):
            raise AttributeError(name)
        return getattr(real(self.__name__), name)


def real(name: str) -> ModuleType:
    """Return the module itself, in place of what stands for it, and for what it is part of."""
    for other in LATE:
        related = f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}.")
        if related and isinstance(sys.modules.get(other), Late):
            del sys.modules[other]
    with compiled_late() if name == BITSANDBYTES else nullcontext():
        return importlib.import_module(name)


def _called_late(module: str, name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(real(module), name)(*args, **kwargs)

    return call


def _undecorated(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return the function as it is: there is no compiler that it could tell anything."""
    return _undecorated if function is None else function


def _of_numbers(name: str) -> Callable[..., Any]:
    """Return a question about sizes: its answer is the truth, unless a size is a symbol."""

    def call(value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, bool):
            return value
        return getattr(real(SYMBOLS), name)(value, *args, **kwargs)

    return call


def _equal(one: Any, other: Any) -> Any:
    """Tell whether two sizes, or two lists of them, are equal."""
    pair = [tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,) for sizes in (one, other)]
    if all(type(size) is int for sizes in pair for size in sizes):
        return pair[0] == pair[1]
    return real(SYMBOLS).sym_eq(one, other)


def _is_nested(size: Any) -> Any:
    """Tell whether a size is that of a nested tensor: a number is not."""
    return False if type(size) is int else real(SYMBOLS).is_nested_int(size)


def _hint(size: Any) -> Any:
    """Return what a size is: a number is itself."""
    return size if type(size) is int else real(SYMBOLS).guarding_hint_or_throw(size)


def _has_hint(size: Any) -> Any:
    """Tell whether it is known what a size is: a number is known."""
    return True if type(size) is int else real(SYMBOLS).has_guarding_hint(size)


def _unbacked(value: Any) -> Any:
    """Return the unknown symbols in a size, or a tensor's sizes: numbers have none."""
    sizes = getattr(value, "shape", (value,))
    plain = all(type(size) is int for size in sizes)
    return set() if plain else real(SYMBOLS).free_unbacked_symbols(value)


def _joined(name: str, join: Callable[[Any], bool]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        plain = all(isinstance(value, bool) for value in values)
        return join(values) if plain else getattr(real(SYMBOLS), name)(*values)

    return call


class _Symbol:
    """What no number is an instance of."""


_COMPILER = "torch._dynamo"
BITSANDBYTES = "bitsandbytes"
SYMBOLS = "torch.fx.experimental.symbolic_shapes"
_FORMULAS = "torch.utils._sympy.functions"
_INDEXING = f"{_COMPILER}._trace_wrapped_higher_order_op"
_OPTIMIZE = "scipy.optimize"
LATE: dict[str, dict[str, Any]] = {
    _COMPILER: {
        **dict.fromkeys(("disable", "assume_constant_result", "allow_in_graph"), _undecorated),
        "graph_break": lambda *args, **kwargs: None,
    },
    SYMBOLS: {
        "sym_and": _joined("sym_and", all),
        "sym_or": _joined("sym_or", any),
        "is_nested_int": _is_nested,
        "free_unbacked_symbols": _unbacked,
        "guarding_hint_or_throw": _hint,
        "has_guarding_hint": _has_hint,
        "sym_eq": _equal,
        **{name: _of_numbers(name) for name in ("expect_true", "guard_or_false", "guard_or_true",
                                                "guard_size_oblivious", "statically_known_true")},
    },
    "sympy": {"Basic": _Symbol},
    # Starts CUDA when it is imported, and peft imports it where it is installed.
    BITSANDBYTES: {},
    # Imported where it might be needed, and then not called.
    _FORMULAS: {"Max": _called_late(_FORMULAS, "Max")},
    # What transformers imports of them: for masks of plug-ins' functions, and for boxes.
    _INDEXING: {"TransformGetItemToIndex": _called_late(_INDEXING, "TransformGetItemToIndex")},
    _OPTIMIZE: {"linear_sum_assignment": _called_late(_OPTIMIZE, "linear_sum_assignment")},
}  # fmt: skip


def load_late() -> None:
    """Import what was put off, before there are forks of this process that would all import it.

    Forecasts on fake tensors ask for it; of those on meta tensors some may.
    """
    for name in (SYMBOLS, _COMPILER):
        real(name)


@contextmanager
def compiled_late() -> Iterator[None]:
    """Have what is imported in this context compile its functions when they are first called.

    bitsandbytes decorates a few with `torch.compile`: that alone imports 1,400 modules.
    """
    import torch

    at_once = torch.compile

    def late(function: Any = None, **options: Any) -> Any:
        if function is None:
            return partial(late, **options)
        compiled = cache(partial(at_once, function, **options))
        return wraps(function)(lambda *args, **kwargs: compiled()(*args, **kwargs))

    with mock.patch.object(torch, "compile", late):
        yield


def put_off() -> None:
    """Have bitsandbytes imported when it is asked for something, not when it is imported."""
    if BITSANDBYTES not in sys.modules and (found := find_spec(BITSANDBYTES)) is not None:
        sys.modules[BITSANDBYTES] = Late(BITSANDBYTES, package=True, __spec__=found)


def import_without_gpu() -> None:
    """Import bitsandbytes, if it is installed, as on a machine without a GPU.

    It asks for the GPU's capability, which starts CUDA: no fork survives that, and a process that
    forecasts has no use for it. For such processes only: the package then has the CPU's kernels.
    """
    import torch

    put_off()
    if isinstance(sys.modules.get(BITSANDBYTES), Late):
        with mock.patch.object(torch.cuda, "is_available", return_value=False):
            real(BITSANDBYTES)


def put_late() -> None:
    """Have torch's compiler, and what it brings, imported when it is asked for something.

    Modules that are there already, because something else wanted them, are left as they are.
    """
    if _COMPILER not in sys.modules:  # which imports the others
        for name, names in LATE.items():
            if name != BITSANDBYTES:
                sys.modules.setdefault(name, Late(name, name in (_COMPILER, "sympy"), **names))


@contextmanager
def spared() -> Iterator[None]:
    """Import transformers and peft in this context, as the module says."""
    import torch.distributed

    put_late()
    import transformers.utils.import_utils as files

    found = files.create_import_structure_from_path
    with ExitStack() as stack:
        for owner, name, new in (
            (torch.distributed, "is_available", lambda: False),
            (files, "create_import_structure_from_path", lambda path: found(_folder(path))),
        ):
            stack.enter_context(mock.patch.object(owner, name, new))
        stack.enter_context(_hidden("torchao"))
        yield


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Have a package look as if it were not installed: transformers imports it wherever it is."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _folder(path: Any) -> Path:
    """Return the one spelling of a folder, or of a package's file, that `found` remembers."""
    place = Path(path)
    return place.parent if place.suffix == ".py" else place
