"""The registry, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from methods import METHODS, Method, get_method, names


def test_every_entry_loads() -> None:
    for name in names():
        kind = get_method(name)
        assert issubclass(kind, Method)
        assert kind.name == name
        assert kind.__doc__


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"unknown method 'loar'; did you mean 'lora'.*bitfit"):
        get_method("loar")


def test_options_are_checked_without_the_heavy_libraries() -> None:
    """A suite is validated in a fraction of a second; only peft's types need peft to check."""
    code = (
        "import sys, harness.models.load, methods\n"
        f"for name in {sorted(METHODS)}: methods.get_method(name)\n"
        "methods.get_method('lora')(r=4); methods.get_method('elora')(share='none')\n"
        "print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
