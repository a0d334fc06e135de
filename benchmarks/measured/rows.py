"""Public measurements as cells to forecast: what the settings can say of them, and what not, and why."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from harness.suite.cell import Cell
from harness.suite.suite import Suite

HERE = Path(__file__).parent
AXES = (
    "model",
    "method",
    "precision",
    "attention",
    "optimizer",
    "checkpointing",
    "loss",
    "gpu",
    "kind",
)


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: the source's own id.
        source: where it is published.
        card: that it is forecast for.
        kind: which memory, as the source calls it.
        figure: what of a forecast stands beside it.
        measured: bytes.
        cell: None where the settings cannot say it; then `why` says why not.
        by: what stands in for what was run; a stage to take, where there are several.
    """

    name: str
    source: str
    card: str
    kind: str
    figure: str
    measured: int
    cell: Cell | None
    by: tuple[str, ...] = ()
    why: str = ""
    stage: str = ""


@cache
def words() -> dict[str, Any]:
    """Return how the words of public.csv are said by settings."""
    content: dict[str, Any] = yaml.safe_load((HERE / "words.yaml").read_text())
    return content


def public_rows() -> Iterator[Row]:
    """Yield the rows of public.csv."""
    with (HERE / "public.csv").open(newline="") as stream:
        yield from map(_row, csv.DictReader(stream))


def _row(given: Mapping[str, str]) -> Row:
    known = {axis: words()[axis].get(given[axis]) for axis in AXES}
    why = _why_not(given, known)
    name, kind = given["id"].rpartition(f"/{given['kind']}")[0] or given["id"], given["kind"]
    if why:
        return Row(
            name, given["source"], given["gpu"], kind, "", int(given["bytes"]), None, why=why
        )
    said = {axis: value or {} for axis, value in known.items()}
    card = next(said[axis]["card"] for axis in ("attention", "gpu") if "card" in said[axis])
    by = tuple(value["by"] for value in said.values() if "by" in value)
    return Row(name, given["source"], card, kind, said["kind"]["figure"], int(given["bytes"]),
               _cell(given, said), by)  # fmt: skip


def _why_not(given: Mapping[str, str], known: Mapping[str, Any]) -> str:
    """Return why the settings cannot say a row; empty where they can."""
    if given["expressible"] == "no":
        return given["why_not"]
    for start, why in words()["not"].items():
        if given["id"].startswith(start):
            return str(why)
    missing = [axis for axis in AXES if known[axis] is None]
    unsaid = words()["unsaid"]
    return next((unsaid.get(axis, f"{axis} not given") for axis in missing), "")


def _cell(given: Mapping[str, str], said: Mapping[str, Any]) -> Cell:
    model = said["model"]
    family = model.get("family", "causal_lm")
    shape: dict[str, Any] = {"family": family, "batch_size": int(given["batch"])}
    if family != "image":
        shape |= {"length": int(given["length"].split()[0]), "mask": False}
    train: dict[str, Any] = {}
    for axis in ("precision", "attention", "optimizer", "checkpointing", "loss"):
        train |= said[axis].get("train", {})
    folder = model.get("folder")
    source = {"path": str(HERE / "models" / folder)} if folder else {"config": model["config"]}
    suite = {
        "name": "measured",
        "model": source,
        "tasks": [{"shape": shape, "label": "step"}],
        "methods": [said["method"]],
        "train": train,
    }
    return Suite.model_validate(suite).cells()[0]
