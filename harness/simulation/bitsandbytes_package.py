"""peft on quantised layers without values: it finds the package bitsandbytes, installed or not.

peft has layers of its own for quantised ones, and defines them where it finds the package. A
forecast needs those layers, and nothing that the package computes: where it is not installed, a
module of that name has the two classes that peft asks for. Where peft reads a whole weight (DoRA),
the layers of a forecast give it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

NAME = "bitsandbytes"


# Modules of peft that read whole weights.
READERS = ("dora", "layer", "variants")


@contextmanager
def bitsandbytes_package(asked: bool = True) -> Iterator[None]:
    """Let peft work on a forecast's quantised layers inside of the block; not `asked`: none."""
    if not asked:
        yield
        return
    with _found(), ExitStack() as stack:
        for name in READERS:
            module: Any = importlib.import_module(f"peft.tuners.lora.{name}")
            read = partial(_whole, module.dequantize_module_weight)
            stack.enter_context(mock.patch.object(module, "dequantize_module_weight", read))
        yield


def _whole(read: Callable[[Any], Any], layer: Any) -> Any:
    return layer.whole() if hasattr(layer, "whole") else read(layer)


@contextmanager
def _found() -> Iterator[None]:
    """Let peft find the package."""
    if find_spec(NAME) is not None:
        yield
        return
    before: dict[str, Any] = {NAME: sys.modules[NAME]} if NAME in sys.modules else {}
    sys.modules[NAME] = _package()
    try:
        _look_again()
        for name in [n for n in sys.modules if n.startswith("peft.tuners.") and n.endswith(".bnb")]:
            importlib.reload(sys.modules[name])
        yield
    finally:
        del sys.modules[NAME]
        sys.modules.update(before)
        _look_again()


@cache
def _package() -> ModuleType:
    from torch import nn

    package: Any = ModuleType(NAME)
    package.__spec__ = ModuleSpec(NAME, None)
    kinds = {name: type(name, (nn.Linear,), {}) for name in ("Linear4bit", "Linear8bitLt")}
    package.nn, package.functional = SimpleNamespace(**kinds), SimpleNamespace()
    made: ModuleType = package
    return made


def _look_again() -> None:
    """Make peft forget whether it has found the package."""
    from peft import import_utils

    import_utils.is_bnb_available.cache_clear()
    import_utils.is_bnb_4bit_available.cache_clear()
