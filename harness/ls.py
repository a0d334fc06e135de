"""`python -m harness.ls methods|targets|suites|tasks|families|analyses|models|gpus`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import Plugins, command, new_app

if TYPE_CHECKING:
    from harness.analyses.base import Analysis
    from methods import Method
    from methods.registry import Registry

app = new_app()


class Listing(StrEnum):
    """What can be listed."""

    methods = "methods"
    targets = "targets"
    suites = "suites"
    tasks = "tasks"
    families = "families"
    analyses = "analyses"
    models = "models"
    gpus = "gpus"


Lines = list[tuple[str, str]]
SEE = {"targets": " (see ls targets)"}  # options whose values are not the same on every model


@command(app)
def ls(
    what: Annotated[Listing, typer.Argument(help="what to list")],
    folder: Annotated[Path, typer.Option(help="where suites lie")] = Path("suites"),
    plugin: Plugins = None,
) -> None:
    """List methods, sets of targets, suites, tasks, families, analyses, models or GPUs."""
    from harness.plugins import load_plugins

    load_plugins(plugin or [], folder)
    rows = _LISTS[what](folder)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name.ljust(width)}  {text}".rstrip())
    if not rows:
        print(f"no {what}")


def _methods(_folder: Path) -> Lines:
    from methods import REGISTRY, get_method

    return _registered(REGISTRY, lambda name: _with_options(get_method(name)))


def _with_options(kind: type[Method | Analysis]) -> str:
    own = kind.__annotations__  # what is its own stands first
    fields = sorted(kind.model_fields.items(), key=lambda item: item[0] not in own)
    options = ", ".join(
        f"{key}={_shown(field.get_default(call_default_factory=True))}{SEE.get(key, '')}"
        if not field.is_required()
        else key
        for key, field in fields
    )
    return f"{_first_line(kind.__doc__)} [{options}]"


def _targets(_folder: Path) -> Lines:
    """List which linear layers of a transformer layer each named set is, on some models."""
    import torch
    from transformers import AutoConfig, AutoModel

    from harness.models.catalogue import CATALOGUE
    from methods import surgery
    from methods.architectures import SETS, TARGET_SETS

    rows = [(f"any {name}", meaning) for name, meaning in SETS.items()]
    for entry in (entry for name, entry in CATALOGUE.items() if name.startswith("tiny-")):
        with torch.device("meta"):
            model = AutoModel.from_config(AutoConfig.for_model(entry.model_type, **entry.config))
        for name in TARGET_SETS:
            inside = {
                full.removeprefix(f"{layer}."): None
                for layer in surgery.layer_names(model)
                for full in surgery.target_modules(model, name)
                if full.startswith(f"{layer}.")
            }
            said = [f"({s.removeprefix(f'targets {name} ')})"
                    for s in surgery.what_targets_mean(model, name)]  # fmt: skip
            rows.append((f"{surgery.family(model)} {name}", "  ".join([", ".join(inside), *said])))
    return list(dict(rows).items())


def _registered(registry: Registry, describe: Callable[[str], str]) -> Lines:
    """List what is registered; a broken plug-in is a line that says so."""
    from harness.errors import UserError

    rows = []
    for name, entry in registry.entries.items():
        origin = f"  (plug-in {entry.source})" if entry.source else ""
        try:
            rows.append((name, describe(name) + origin))
        except (ValueError, UserError) as error:
            rows.append((name, f"broken: {error}"))
    for name, entry in registry.hidden.items():
        rows.append((name, f"cannot be used: its name is taken  (plug-in {entry.source})"))
    return rows


def _suites(folder: Path) -> Lines:
    from harness.suite.load import load_suite

    rows = []
    for file in sorted(folder.glob("*.yaml")):
        suite = load_suite(file)
        count = f"{len(suite.cells())} cells"
        rows.append((str(file), f"{count}. {_first_line(suite.description)}"))
    return rows


def _tasks(_folder: Path) -> Lines:
    from harness.tasks import REGISTRY, get_task

    return sorted(_registered(REGISTRY, lambda name: get_task(name).description))


def _families(_folder: Path) -> Lines:
    from harness.tasks.families import REGISTRY, get_family

    return _registered(REGISTRY, lambda name: _first_line(type(get_family(name)).__doc__))


def _analyses(_folder: Path) -> Lines:
    from harness.analyses import REGISTRY, get_analysis

    return _registered(REGISTRY, lambda name: _with_options(get_analysis(name)))


def _models(_folder: Path) -> Lines:
    from harness.models.catalogue import CATALOGUE

    return [(name, f"{entry.model_type}, {entry.source}") for name, entry in CATALOGUE.items()]


def _gpus(_folder: Path) -> Lines:
    from harness.forecasting.cards import CARDS
    from harness.gpus import installed
    from harness.units import gib

    here = [(str(gpu.index), f"{gpu.name}, {gib(gpu.memory)} GiB, here") for gpu in installed()]
    cards = [
        (card.name, f"{gib(card.usable)} GiB, compute capability {major}.{minor}, to forecast for")
        for card in CARDS.values()
        for major, minor in (card.capability,)
    ]
    return here + cards


def _shown(default: object) -> str:
    from pydantic import BaseModel

    return repr(default.model_dump() if isinstance(default, BaseModel) else default)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text and text.strip() else ""


_LISTS = {
    Listing.methods: _methods,
    Listing.targets: _targets,
    Listing.suites: _suites,
    Listing.tasks: _tasks,
    Listing.families: _families,
    Listing.analyses: _analyses,
    Listing.models: _models,
    Listing.gpus: _gpus,
}

if __name__ == "__main__":
    app()
