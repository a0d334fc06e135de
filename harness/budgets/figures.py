"""The figures that a budget is held against: forecasts of a suite, or measurements of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.budgets.settings import Scalar, settings_of
from harness.budgets.spot import ANY, Spot
from harness.budgets.times import StepBudget
from harness.comparing.of_forecasts import Entry
from harness.comparing.sides import Place, listed
from harness.errors import UserError
from harness.untrusted import WRONG, said

if TYPE_CHECKING:
    from harness.forecasting.cards import Card
    from harness.record import Memory, Record
    from harness.suite.cell import Cell


@dataclass(frozen=True)
class Figure:
    """What one cell needs on one card.

    Attributes:
        sizes: bytes by name: `peak`, which is of allocated memory, `reserved`, `device`.
        split: bytes at the peak, by category.
        places: bytes at the peak by category and module, as far as they are known.
        least: bytes up to which a place may be missing there; 0: all are listed.
        key: of the cell; empty: not known.
        settings: of the cell that are not at their defaults.
        step: None: no step time was asked for.
    """

    sizes: Mapping[str, int]
    split: Mapping[str, int]
    places: Mapping[Place, int]
    least: int = 0
    key: str = ""
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    step: StepBudget | None = None

    @property
    def peak(self) -> int:
        """The most that is allocated at a time."""
        return self.sizes["peak"]

    def value(self, metric: str) -> int | None:
        """Return the bytes of a size or a category; None: a size that is not known."""
        if metric in SIZES:
            return self.sizes.get(metric)
        return self.split.get(metric, 0)


SIZES = ("peak", "reserved", "device")


@dataclass(frozen=True)
class Figures:
    """All cells' figures.

    Attributes:
        cards: they are of: names of cards, or of a run's devices ("cpu": without one).
        software: versions that they were made with, by card.
        errors: why a cell has none; the card is ANY where it is not known.
    """

    kind: Literal["forecast", "measured"]
    cards: tuple[str, ...]
    cells: Mapping[Spot, Figure]
    errors: Mapping[Spot, str] = field(default_factory=dict)
    software: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def why_none(self, spot: Spot) -> str:
        """Return why there is no figure."""
        found = self.errors.get(spot) or self.errors.get(Spot(spot.path, ANY))
        return found or "the source has no such cell"


def software() -> dict[str, str]:
    """Return the versions that move memory, without their build tags.

    headroom's own is one of them where it is installed; in a checkout it is what is judged.
    """
    from harness import __version__
    from harness.env import MEMORY_PACKAGES, git_state, package_versions

    own = {} if git_state() else {"headroom": __version__}
    return {**_named(MEMORY_PACKAGES, package_versions()), **own}


def _named(names: Iterable[str], versions: Mapping[str, str]) -> dict[str, str]:
    return {name: versions[name].partition("+")[0] for name in names if name in versions}


def figures_of(
    source: Path, cards: Sequence[str] = (), plugins: Sequence[str] = (), timed: bool = False
) -> Figures:
    """Forecast the suite at `source`, or read the run folder there.

    Args:
        source: a suite's file or a run folder.
        cards: to forecast for; of a run folder, the devices to look at (none: all there are).
        plugins: of the suite.
        timed: step times, too.

    Raises:
        UserError: it is neither, or nothing is known of its step times.
    """
    if source.is_file():
        return _forecast(source, cards, plugins, timed)
    if (source / "suite.json").is_file():
        if timed:
            raise UserError(
                f"--time: {source} is a run folder, whose step times are other ones in every run; "
                "--tolerance step=SHARE holds them as far as they repeat"
            )
        return _measured(source, cards)
    raise UserError(f"{source} is neither a suite's YAML file nor a run folder")


def _forecast(suite: Path, names: Sequence[str], plugins: Sequence[str], timed: bool) -> Figures:
    from harness.forecasting.cache import cache_folder
    from harness.forecasting.cells import forecast_cells
    from harness.forecasting.forecaster import Forecaster
    from harness.suite.load import load_suite
    from harness.suite.preflight import check_models

    cards = [_card(name, timed) for name in names]
    chosen = load_suite(suite, plugins=plugins).cells()
    check_models(chosen, to_run=False)
    forecasts = forecast_cells(Forecaster(cache_folder()), chosen, cards, timed=timed)
    step_time = {} if timed else {"step_time": None}  # an answer that is kept may have one
    entries = [Entry.model_validate({**entry.model_dump(), **step_time}) for entry in forecasts]
    return of_entries(entries, {cell.path: cell for cell in chosen}, software())


def _card(name: str, timed: bool) -> Card:
    """Return a card whose step times are the same on every machine.

    Raises:
        UserError: there is no such card, or no speed of it is known.
    """
    from harness.forecasting.cards import find_card

    card = find_card(name).as_sold()
    if timed and card.clock is None:
        raise UserError(f"--time: no datasheet of {name}'s speed is known; name another card")
    return card


def of_entries(
    entries: Sequence[Entry], cells: Mapping[str, Cell], versions: Mapping[str, str]
) -> Figures:
    """Return the figures that forecasts are; `cells` are known by their path."""
    staged = {(entry.cell, entry.gpu) for entry in entries if entry.stage != "training"}
    facts = {path: (cell.key, settings_of(cell.model_dump(mode="json")))
             for path, cell in cells.items()}  # fmt: skip
    found, errors = {}, {}
    for entry in entries:
        name = f"{entry.cell}@{entry.stage}" if (entry.cell, entry.gpu) in staged else entry.cell
        spot = Spot(name, entry.gpu)
        if entry.peak_allocated is None:
            errors[spot] = entry.error or "no forecast"
        else:
            found[spot] = _of_entry(entry, entry.peak_allocated, *facts.get(entry.cell, ("", {})))
    cards = tuple(dict.fromkeys(entry.gpu for entry in entries))
    return Figures("forecast", cards, found, errors, dict.fromkeys(cards, versions))


def _of_entry(entry: Entry, peak: int, key: str, settings: Mapping[str, Scalar]) -> Figure:
    held = [(hold.category, hold.path, hold.num_bytes) for hold in entry.holds]
    places, least = listed(peak - entry.split.get("unsplit", 0), held)
    step = entry.step_time
    return Figure(
        sizes={"peak": peak, **({"reserved": entry.peak_reserved} if entry.peak_reserved else {})},
        split=entry.split,
        places=places,
        least=least,
        key=key,
        settings=settings,
        step=StepBudget(seconds=step.seconds, bar=step.bar.ratio) if step and step.bar else None,
    )


def _measured(folder: Path, only: Sequence[str]) -> Figures:
    from harness.env import MEMORY_PACKAGES
    from harness.store import Store

    cells: dict[Spot, Figure] = {}
    errors: dict[Spot, str] = {}
    versions: dict[str, dict[str, str]] = {}
    records, left_out = Store(folder).contents()
    errors |= {Spot(each.path, ANY): each.reason for each in left_out}
    for record in records:
        gpu = record.environment.gpu
        spot = Spot(record.path, gpu.name if gpu else "cpu")
        if only and spot.card not in only:
            continue
        if record.outcome != "ok" or record.memory is None:
            errors[spot] = record.outcome
            continue
        if record.is_halved:
            errors[spot] = f"ran in smaller batches than {record.asked_batches}"
            continue
        try:
            cells[spot] = _of_record(record, record.memory)
        except WRONG as error:
            errors[spot] = f"no peak can be read in its record: {said(error)}"
            continue
        here = _named(MEMORY_PACKAGES, record.environment.packages)
        if versions.setdefault(spot.card, here) != here:
            raise UserError(f"{folder}: records of {spot.card} were made with several versions")
    cards = tuple(dict.fromkeys(spot.card for spot in cells))
    return Figures("measured", cards, cells, errors, versions)


def _of_record(record: Record, memory: Memory) -> Figure:
    phase = max(memory.phases, key=lambda p: p.peak_allocated)
    held = [(str(each["category"]), str(each["path"]), int(each["num_bytes"]))
            for each in phase.holders]  # fmt: skip
    places, least = listed(phase.peak_allocated, held)
    most = {
        "peak": phase.peak_allocated,
        "reserved": max((p.peak_reserved or 0 for p in memory.phases), default=0),
        "device": max((p.peak_device or 0 for p in memory.phases), default=0),
    }
    seconds = record.time.step_median if record.time else 0.0
    return Figure(
        sizes={name: size for name, size in most.items() if size or name == "peak"},
        split=phase.split,
        places=places,
        least=least,
        key=record.key,
        settings=settings_of(record.cell),
        step=StepBudget(seconds=seconds, bar=NO_BAR) if seconds > 0 else None,
    )


NO_BAR = 1e-6  # of a measured time: how far it may move, the file says
