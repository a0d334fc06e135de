"""What is asked of a run beyond its scores: one file an analysis, registered by one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.registry import Registry

if TYPE_CHECKING:
    from harness.analyses.base import Analysis

# name -> "module:class", imported when it is asked for.
ANALYSES: dict[str, str] = {
    "cka": "harness.analyses.cka:Cka",
    "hessian": "harness.analyses.hessian:Hessian",
    "landscape": "harness.analyses.landscape:Landscape",
}


def _base() -> type:
    from harness.analyses.base import Analysis

    return Analysis


REGISTRY = Registry("analysis", "headroom.analyses", ANALYSES, _base)


def names() -> list[str]:
    """Return the names of all analyses, in the order in which they are registered."""
    return REGISTRY.names()


def get_analysis(name: str) -> type[Analysis]:
    """Return the class registered as `name`.

    Raises:
        ValueError: there is none; the message names the nearest.
        PluginError: a plug-in that should bring it is broken.
    """
    kind: type[Analysis] = REGISTRY.get(name)
    return kind
