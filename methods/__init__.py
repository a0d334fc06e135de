"""Fine-tuning methods: one file or folder each, registered by one line here."""

from __future__ import annotations

from methods.base import Change, Handle, Method, Plan, Resized, Stage
from methods.registry import PluginError, Registry

__all__ = [
    "METHODS",
    "REGISTRY",
    "Change",
    "Handle",
    "Method",
    "Plan",
    "PluginError",
    "Resized",
    "Stage",
    "get_method",
    "names",
]


# name -> "module:class", imported when it is asked for.
METHODS: dict[str, str] = {
    "full": "methods.full:Full",
    "lora": "methods.lora:Lora",
    "elora": "methods.elora:Elora",
    "bitfit": "methods.bitfit:BitFit",
    "aflora": "methods.aflora.method:Aflora",
    "safe": "methods.safe.method:Safe",
    "adapterdrop": "methods.adapterdrop:AdapterDrop",
    "houlsby": "methods.bottleneck.houlsby:Houlsby",
    "pfeiffer": "methods.bottleneck.pfeiffer:Pfeiffer",
    "sparseadapter": "methods.sparseadapter.method:SparseAdapter",
    "sora": "methods.sora.method:Sora",
    "adalora": "methods.adalora.method:AdaLora",
    "loraprune": "methods.loraprune.method:LoraPrune",
    "meft": "methods.meft.method:Meft",
    "peft": "methods.peft_any.method:Peft",
}


REGISTRY = Registry("method", "headroom.methods", METHODS, lambda: Method)


def names() -> list[str]:
    """Return the names of all methods, in the order in which they are registered."""
    return REGISTRY.names()


def get_method(name: str) -> type[Method]:
    """Return the class registered as `name`.

    Raises:
        ValueError: there is none; the message names the nearest.
        PluginError: a plug-in that should bring it is broken.
    """
    kind: type[Method] = REGISTRY.get(name)
    return kind
