"""A trainer's config as the question: what it trains, and what may be changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.fitting.kinds import PLAIN, Kind
from harness.fitting.wanted import Model
from harness.forecasting.cards import Card, have_bf16
from harness.recipes import IMPORTERS, read
from harness.recipes.imported import Imported
from harness.recipes.models import refuse_unnamed
from harness.recipes.telling import TELLING
from harness.suite.document import read_yaml
from harness.suite.load import suite_of

SIZES = ("batch_size", "accumulate", "eval_batch_size", "max_length", "padding")
NAME = "as in the file"


@dataclass(frozen=True)
class OwnFile:
    """A config, read.

    Attributes:
        model: that it trains.
        kind: what it does, with its settings as the plain ones.
        family: of its task.
        length, batch: of its steps.
        task: as its suite has it.
        notes: what it does not say, and what of it the forecast does not have.
    """

    model: Model
    kind: Kind
    family: str
    length: int
    batch: int
    task: dict[str, Any]
    notes: Sequence[str]


def own_file(path: Path, trainer: str | None, card: Card, overrides: Sequence[str]) -> OwnFile:
    """Read a trainer's config.

    Args:
        path: of the file.
        trainer: whose it is; None: told by its keys.
        card: that it is for.
        overrides: of settings.

    Raises:
        UserError: it is no trainer's, or asks for what cannot be forecast.
    """
    imported = read(trainer or _whose(path), path, have_bf16([card])).beside(overrides)
    refuse_unnamed(imported, [])
    [cell] = suite_of(imported.document(), overrides).cells()
    settings = cell.train
    said = {name: value for name, value in settings.given().items()
            if name not in (*SIZES, *PLAIN)}  # fmt: skip
    kind = Kind(
        name=cell.method_label,
        method=cell.method,
        weights=settings.dtypes.weights,
        options=cell.method_options,
        train=said,
        plain={name: getattr(settings, name) for name in PLAIN},
        passes=settings.accumulate,
    )
    entry = dict(imported.suite["model"])
    return OwnFile(
        model=Model(cell.model.name, entry, _to_run(entry, imported)),
        kind=kind,
        family=cell.family.name,
        length=settings.max_length,
        batch=settings.batch_size * settings.accumulate,
        task=dict(imported.suite["tasks"][0]),
        notes=imported.notes(),
    )


def _to_run(entry: dict[str, Any], imported: Imported) -> dict[str, Any]:
    """Return the entry with the catalogue's source in place of its config."""
    from harness.models.catalogue import CATALOGUE

    source = CATALOGUE[entry["config"]].source if "config" in entry else ""
    return {"hub": source} if source else entry


def _whose(path: Path) -> str:
    data = read_yaml(path).data
    found = next((TELLING[key] for key in TELLING if key in data), None)
    if found is None:
        raise UserError(
            f"{path}: none of its keys tells whose config it is; --from says it "
            f"({', '.join(IMPORTERS)})"
        )
    return found
