"""Layer implementations as people read them: whose class, and the file that it is written in."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.simulation.step_forecast import BETWEEN

OURS = "headroom"


def layer_text(classes: str) -> str:
    """Return whose class does the work, such as `transformers LlamaMLP` or `peft lora.Linear`.

    Args:
        classes: as `StepForecast.classes` has them; empty outside of modules.
    """
    return BETWEEN.join(map(_short, filter(None, classes.split(BETWEEN))))


def layer_files(classes: Iterable[str]) -> dict[str, str]:
    """Return the source file of every class of another project or of a method, by its short name.

    torch's own layers are left out: their names say all.
    """
    names = dict.fromkeys(name for text in classes for name in text.split(BETWEEN) if name)
    return {
        _short(name): f"{name.rpartition('.')[0].replace('.', '/')}.py"
        for name in names
        if _package(name) != "torch"
    }


def _short(name: str) -> str:
    """Return package and class; with its folder's name where the class's own does not have it."""
    module, _, kind = name.rpartition(".")
    parts = module.split(".")
    package, folder = _package(name), parts[-2] if len(parts) > 2 else ""
    named = not folder or _letters(folder) in _letters(kind)
    within = "" if named or package == "torch" else f"{folder}."
    return f"{package} {within}{kind}"


def _package(name: str) -> str:
    package = name.partition(".")[0]
    return OURS if package in {"methods", "harness"} else package


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())
