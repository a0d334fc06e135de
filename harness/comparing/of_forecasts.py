"""A side made of forecasts, as this `headroom forecast --json` or an older one wrote them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from harness.comparing.sides import Figures, Side, listed, together
from harness.untrusted import bytes_of, reading

ENVIRONMENT = ("torch", "transformers", "peft")  # among the choices of a forecast
OF_THE_CARD = ("capability",)


class Need(BaseModel):
    """What an activity of the run allocates at most, in bytes."""

    allocated: int = Field(ge=0)


class Hold(BaseModel):
    """What one operator holds in one place; bytes."""

    category: str
    path: str
    num_bytes: int


class Bar(BaseModel):
    """How far a time may be off."""

    ratio: float = Field(description="of a ratio of two of them")


class StepTime(BaseModel):
    """A mean step."""

    seconds: float = 0.0
    bar: Bar | None = None


class Entry(BaseModel):
    """What is read of a forecast; other versions of headroom may have said more or less of it."""

    cell: str
    gpu: str
    stage: str = "training"
    steps: list[tuple[int, ...]] = Field(default_factory=list)
    evaluation: tuple[int, ...] | None = None
    peak_allocated: int | None = None
    peak_reserved: int | None = None
    at_rest: int | None = None
    needs: dict[str, Need] = Field(default_factory=dict)
    split: dict[str, int] = Field(default_factory=dict)
    peaks: dict[str, int] = Field(default_factory=dict)
    modules: dict[str, int] = Field(default_factory=dict)
    holds: list[Hold] = Field(default_factory=list)
    choices: dict[str, str] = Field(default_factory=dict)
    step_time: StepTime | None = None
    error: str | None = None


class Document(BaseModel):
    """The file as a whole."""

    entries: list[Entry] = Field(min_length=1)


def read_forecasts(file: Path, name: str | None = None) -> Side:
    """Return the side that a file of forecasts is.

    Raises:
        Unreadable: as `read_entries`.
    """
    return side_of(read_entries(file), name or str(file))


def read_entries(file: Path) -> list[Entry]:
    """Return the forecasts that a file holds.

    Raises:
        Unreadable: the file holds anything else.
    """
    with reading(file, "forecasts, as `headroom forecast --json` writes them,", Document):
        content = json.loads(bytes_of(file))
        if not isinstance(content, list):
            raise ValueError("it is no list of forecasts")
        return Document(entries=content).entries


def side_of(entries: Sequence[Entry], name: str) -> Side:
    """Return the side that forecasts make; a card stands in its paths where there are several."""
    cards = list(dict.fromkeys(entry.gpu for entry in entries))
    cells = {_path(entry, len(cards) > 1): _figures(entry) for entry in entries}
    facts = {
        key: together(entry.choices.get(key) for entry in entries)
        for key in (*ENVIRONMENT, *OF_THE_CARD)
    }
    facts["card"] = together(cards)
    return Side(name, "forecast", {key: value for key, value in facts.items() if value}, cells)


def _path(entry: Entry, with_card: bool) -> str:
    stage = "" if entry.stage == "training" else f"@{entry.stage}"
    return f"{entry.cell}{stage}{f' on {entry.gpu}' if with_card else ''}"


def _figures(entry: Entry) -> Figures:
    settings = {
        key: value
        for key, value in entry.choices.items()
        if key not in (*ENVIRONMENT, *OF_THE_CARD)
    }
    settings["batches"] = ", ".join(map(_shape, entry.steps))
    if entry.evaluation:
        settings["evaluation batch"] = _shape(entry.evaluation)
    if entry.peak_allocated is None:
        return Figures(settings, reason=entry.error or "no forecast")
    places, least = listed(entry.peak_allocated - entry.split.get("unsplit", 0), _held(entry))
    evaluation = entry.needs.get("evaluation")
    sizes = {
        "peak": entry.peak_allocated,
        "reserved": entry.peak_reserved,
        "at rest": entry.at_rest,
        "evaluation": evaluation.allocated if evaluation else None,
    }
    return Figures(
        settings=settings,
        sizes={key: size for key, size in sizes.items() if size is not None},
        part=max(entry.peaks, key=lambda part: entry.peaks[part], default=""),
        split=entry.split,
        places=places,
        least=least,
    )


def _held(entry: Entry) -> list[tuple[str, str, int]]:
    if entry.holds:
        return [(hold.category, hold.path, hold.num_bytes) for hold in entry.holds]
    return [("", module, size) for module, size in entry.modules.items()]


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
