"""What the question has to know of a model before anything is forecast, kept beside forecasts.

The second look at one model imports neither torch nor transformers for it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.env import package_versions, source_hash
from harness.errors import UserError
from harness.forecasting.cache import Kept
from harness.models.files import local_folder
from harness.part import Part
from harness.untrusted import bytes_of, said

if TYPE_CHECKING:
    from harness.fitting.wanted import Wanted
    from harness.models.spec import ModelSpec


class Facts(Part):
    """What a model is.

    Attributes:
        positions: tokens that it was made for, as its config says it; None: it does not.
        families: of tasks that it has a head for in transformers.
    """

    positions: int | None
    families: list[str]


def facts_of(spec: ModelSpec, folder: Path | None) -> Facts:
    """Return what a model is, read from its config once.

    Args:
        spec: where it comes from.
        folder: of what is kept; None: nothing is.

    Raises:
        UserError: its config cannot be had.
    """
    kept = Kept(folder, Facts)
    key = f"{_key(spec)}-facts"
    found = kept.read(key)
    if found is None:
        found = _read(spec)
        kept.write(key, found)
    return found


def refuse_headless(wanted: Wanted, facts: Facts) -> None:
    """Refuse a task that the model has no head for.

    Raises:
        UserError: naming those that it has.
    """
    if wanted.family not in facts.families:
        had = ", ".join(facts.families) or "no family here"
        raise UserError(
            f"--task {wanted.task}: {wanted.model.name} has no {wanted.family} head in "
            f"transformers; it has one for {had}"
        )


def _read(spec: ModelSpec) -> Facts:
    from harness.models.config import build_config
    from harness.models.load import families_of

    config = build_config(spec)
    said = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    positions = said if isinstance(said, int) and said > 0 else None
    return Facts(positions=positions, families=families_of(config))


def _key(spec: ModelSpec) -> str:
    folder = local_folder(spec)
    try:
        own = bytes_of(folder / "config.json") if folder is not None else b""
    except (OSError, ValueError) as error:
        raise UserError(f"model.path = {folder}: config.json: {said(error)}") from None
    facts = [spec.model_dump(mode="json"), package_versions(), source_hash()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + own).hexdigest()[:24]
