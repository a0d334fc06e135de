"""The package bitsandbytes where it is not installed: the names that peft asks for, and no kernel.

peft has layers of its own for quantised ones, and defines them where it finds the package. A
forecast needs those layers, and nothing that the package computes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

NAME = "bitsandbytes"


@contextmanager
def bitsandbytes_package(asked: bool = True) -> Iterator[None]:
    """Let peft find the package, whether it is installed or not; `asked` says if it has to."""
    if not asked or find_spec(NAME) is not None:
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
