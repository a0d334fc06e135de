"""Metrics that are functions of a user, or of a library: `module:function`."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.errors import UserError

SPELLING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_function(name: str) -> bool:
    """Tell whether a metric is spelled as a function."""
    return SPELLING.fullmatch(name) is not None


def call(name: str, references: Any, predicted: Any) -> float:
    """Return what the function says of predictions, as scikit-learn has it: references first.

    A value that is not finite counts as 0.

    Raises:
        UserError: there is no such function, it fails, or what it returns is no number.
    """
    function = function_of(name)
    try:
        value = float(function(references, predicted))
    except Exception as error:  # whatever foreign code does
        raise UserError(f"metric {name}: {type(error).__name__}: {error}") from error
    return value if math.isfinite(value) else 0.0


@cache
def function_of(name: str) -> Callable[[Any, Any], Any]:
    """Import a function from a module that lies in the working directory or is installed.

    Raises:
        UserError: there is no such module or function, or importing it fails.
    """
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise UserError(f"metric {name}: {error}, neither in {here} nor installed") from None
    except Exception as error:  # whatever foreign code does when it is imported
        raise UserError(f"metric {name}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise UserError(f"metric {name}: {attribute} is {function!r}, no function")
    made: Callable[[Any, Any], Any] = function
    return made
