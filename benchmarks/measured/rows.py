"""Public measurements as cells to forecast: what settings can say of them, what not, and why."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

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
        card: that it was measured on, or is forecast for.
        kind: which memory, as the source calls it.
        measured: bytes.
        figure: what of a forecast stands beside it.
        cell: None where settings cannot say it; then `why` says why not.
        by: what stands in for what was run.
        stage: which of the cell's stages; empty for its only one.
        fitted: a setting was chosen by it.
        attention: its kernel, as the source calls it.
        repeated: keys and values that heads share are repeated before the kernel is called.
    """

    name: str
    source: str
    card: str
    kind: str
    measured: int
    figure: str = ""
    cell: Cell | None = None
    by: tuple[str, ...] = ()
    why: str = ""
    stage: str = ""
    fitted: bool = False
    attention: str = ""
    repeated: bool = False

    @property
    def said(self) -> str:
        """What was run, as a reader knows it: model, 4 bits, method, batch, kernel, loss, stage."""
        if self.cell is None:
            return self.name
        train = self.cell.train
        length = "" if self.cell.family.preparer == "image processor" else f"x{train.max_length}"
        types, loss = train.dtypes, train.loss
        parts = (self.cell.model.name, types.weights if types.quantised else "",
                 self.cell.method_label, f"{train.batch_size}{length}", train.attention,
                 "" if loss == "model" else loss, self.stage)  # fmt: skip
        return " ".join(filter(None, parts))


@contextmanager
def repeating() -> Iterator[None]:
    """Let transformers repeat shared keys and values; processes that are forked meanwhile do so."""
    from transformers.integrations import sdpa_attention

    with mock.patch.object(sdpa_attention, "use_gqa_in_sdpa", _never):  # a Mock would keep tensors
        yield


def _never(*_: object) -> bool:
    return False


@cache
def words() -> dict[str, Any]:
    """Return how the words of public.csv, and single rows of it, are said by settings."""
    content: dict[str, Any] = yaml.safe_load((HERE / "words.yaml").read_text())
    content["told"] = yaml.safe_load((HERE / "told.yaml").read_text())["told"]
    return content


def public_rows() -> Iterator[Row]:
    """Yield the rows of public.csv."""
    with (HERE / "public.csv").open(newline="") as stream:
        yield from map(_row, csv.DictReader(stream))


def _row(given: Mapping[str, str]) -> Row:
    known = {axis: words()[axis].get(given[axis]) for axis in AXES}
    known |= _told(given["id"]) or {}
    kind, measured = given["kind"], int(given["bytes"])
    name = given["id"].removesuffix(f"/{kind}")
    if why := _why_not(given, known):
        return Row(name, given["source"], given["gpu"], kind, measured, why=why)
    said = {axis: value or {} for axis, value in known.items()}
    card = next(said[axis]["card"] for axis in ("attention", "gpu") if "card" in said[axis])
    by = [value["by"] for value in said.values() if "by" in value]
    if _told(given["id"]) is None:
        by += [new for old, new in words()["although"].items() if given["why_not"].startswith(old)]
    return Row(name, given["source"], card, kind, measured, said["kind"]["figure"],
               _cell(given, said), tuple(by), attention=given["attention"],
               repeated="repeated" in said["attention"])  # fmt: skip


def _told(name: str) -> Mapping[str, Any] | None:
    """Return what a single row tells beside its words or otherwise: by axis, or of `train`.

    None: nothing is told of it.
    """
    told: Mapping[str, Mapping[str, Any]] = words()["told"]
    return next((said for start, said in told.items() if name.startswith(start)), None)


def _why_not(given: Mapping[str, str], known: Mapping[str, Any]) -> str:
    """Return why the settings cannot say a row; empty where they can."""
    for start, why in words()["not"].items():
        if given["id"].startswith(start):
            return str(why)
    despite = (known["kind"] or {}).get("despite")
    fits = despite and given["why_not"].startswith(despite)
    built = given["why_not"].startswith(tuple(words()["built"]))
    if given["expressible"] == "no" and not (fits or built) and _told(given["id"]) is None:
        return given["why_not"]
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
    train |= said.get("train", {})
    folder = model.get("folder")
    source = {"path": str(HERE / "models" / folder)} if folder else {"config": model["config"]}
    suite = {
        "name": "measured",
        "model": source,
        "tasks": [{"shape": shape, "label": "step"}],
        "methods": [{key: value for key, value in said["method"].items() if key != "by"}],
        "train": train,
    }
    return Suite.model_validate(suite).cells()[0]
