"""`python -m harness.ls methods|suites|tasks|models|gpus`: what there is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.command import command, new_app

app = new_app()


class Kind(StrEnum):
    """What can be listed."""

    methods = "methods"
    suites = "suites"
    tasks = "tasks"
    models = "models"
    gpus = "gpus"


@command(app)
def ls(
    kind: Annotated[Kind, typer.Argument(help="what to list")],
    folder: Annotated[Path, typer.Option(help="where suites lie")] = Path("suites"),
) -> None:
    """List the methods, suites, tasks, catalogued models or this machine's GPUs."""
    rows = _LISTS[kind](folder)
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        print(f"{name.ljust(width)}  {text}".rstrip())
    if not rows:
        print(f"no {kind}")


def _methods(_folder: Path) -> list[tuple[str, str]]:
    from methods import get_method, names

    rows = []
    for name in names():
        method = get_method(name)
        options = ", ".join(
            f"{key}={_shown(field.get_default(call_default_factory=True))}"
            if not field.is_required()
            else key
            for key, field in method.model_fields.items()
        )
        rows.append((name, f"{_first_line(method.__doc__)} [{options}]"))
    return rows


def _suites(folder: Path) -> list[tuple[str, str]]:
    from harness.suite.load import load_suite

    rows = []
    for file in sorted(folder.glob("*.yaml")):
        suite = load_suite(file)
        count = f"{len(suite.cells())} cells"
        rows.append((str(file), f"{count}. {_first_line(suite.description)}"))
    return rows


def _tasks(_folder: Path) -> list[tuple[str, str]]:
    from harness.tasks import get_task, names

    return [(name, get_task(name).description) for name in names()]


def _models(_folder: Path) -> list[tuple[str, str]]:
    from harness.models.catalogue import CATALOGUE

    return [(name, f"{entry.model_type}, {entry.source}") for name, entry in CATALOGUE.items()]


def _gpus(_folder: Path) -> list[tuple[str, str]]:
    from harness.forecasting.cards import CARDS
    from harness.gpus import installed
    from harness.units import gib

    here = [(str(gpu.index), f"{gpu.name}, {gib(gpu.memory)} GiB, here") for gpu in installed()]
    known = [
        (card.name, f"{gib(card.usable)} GiB, compute capability {major}.{minor}, to forecast for")
        for card in CARDS.values()
        for major, minor in (card.capability,)
    ]
    return here + known


def _shown(default: object) -> str:
    from pydantic import BaseModel

    return repr(default.model_dump() if isinstance(default, BaseModel) else default)


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text and text.strip() else ""


_LISTS = {
    Kind.methods: _methods,
    Kind.suites: _suites,
    Kind.tasks: _tasks,
    Kind.models: _models,
    Kind.gpus: _gpus,
}

if __name__ == "__main__":
    app()
