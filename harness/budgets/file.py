"""The budget file: a block per cell and card, so that a diff can be read and two changes merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from harness import durable
from harness.budgets.figures import NO_BAR, SIZES, Figure, Figures
from harness.budgets.old_file import OldBudget
from harness.budgets.plain import load_plain
from harness.budgets.settings import Scalar
from harness.budgets.spot import Spot
from harness.budgets.times import StepBudget
from harness.comparing.sides import Place
from harness.errors import UserError
from harness.metering.events import CATEGORIES
from harness.part import Part
from harness.untrusted import reading

SCHEMA: Literal[2] = 2
# How far a metric may move, as a fraction: forecasts repeat to the byte, measurements do not.
TOLERANCES: dict[str, dict[str, float]] = {
    "forecast": {"peak": 0.001},
    "measured": {"peak": 0.02, "reserved": 0.05},
}
STEP = "step"  # the metric of a measured time
METRICS = (*SIZES, *CATEGORIES, STEP)
LEAST = 0.0005  # of the peak: places that hold less are not listed
OUTSIDE = "(outside of modules)"
FOLDED = 120  # columns, from which on a line is folded; one word may stand beyond
Bytes = Annotated[int, Field(ge=0, lt=2**63)]  # as torch counts them
Share = Annotated[float, Field(ge=0, lt=1)]


class CardBudget(Part):
    """What one cell may need on one card, in bytes; its step time where that is held, too.

    Attributes:
        key: of the cell; empty in a file that was of schema 1.
        settings: of the cell that are not at their defaults.
        reason: why it moved the last time.
        places: bytes at the peak by category and module; those that hold much.
    """

    key: str = Field("", exclude_if=lambda value: not value)
    settings: dict[str, Scalar] = Field(default_factory=dict, exclude_if=lambda value: not value)
    reason: str = Field("", exclude_if=lambda value: not value)
    peak: Bytes
    reserved: Bytes | None = Field(None, exclude_if=lambda value: value is None)
    device: Bytes | None = Field(None, exclude_if=lambda value: value is None)
    step: StepBudget | None = Field(None, exclude_if=lambda value: value is None)
    split: dict[str, Bytes]
    places: dict[str, dict[str, Bytes]]

    def figure(self) -> Figure:
        """Return it as figures are compared."""
        sizes = {name: getattr(self, name) for name in SIZES}
        return Figure(
            sizes={name: size for name, size in sizes.items() if size is not None},
            split=self.split,
            places={
                Place(category, "" if module == OUTSIDE else module): size
                for category, modules in self.places.items()
                for module, size in modules.items()
            },
            least=int(LEAST * self.peak),
            key=self.key,
            settings=self.settings,
            step=self.step,
        )


class Budget(Part):
    """A budget file.

    Attributes:
        cards: the versions that a card's figures were made with.
        tolerance: how far a metric may move, as a fraction; metrics that are not named are not
            held.
        history: reasons of a file that was of schema 1; each cell's own stand with it.
    """

    schema_version: Literal[2] = Field(SCHEMA, alias="schema")
    kind: Literal["forecast", "measured"]
    cards: dict[str, dict[str, str]] = Field(min_length=1)
    tolerance: dict[str, Share]
    history: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    cells: dict[str, dict[str, CardBudget]] = Field(min_length=1)

    @property
    def spots(self) -> dict[Spot, CardBudget]:
        """All budgets, by cell and card."""
        return {Spot(path, card): row for path, rows in self.cells.items()
                for card, row in rows.items()}  # fmt: skip

    @property
    def steps(self) -> bool:
        """Whether it holds step times."""
        return any(row.step for row in self.spots.values())


def read_budget(file: Path) -> Budget:
    """Read a budget file, of schema 1 as well.

    Raises:
        UserError: it is missing, or is anything else than a budget.
    """
    with reading(file, "a budget", Budget):
        if not file.exists():
            raise UserError(f"{file}: no such budget file; `headroom budget update` writes one")
        return parsed(file.read_bytes())


def parsed(content: bytes) -> Budget:
    """Return the budget that a file's content is.

    Raises:
        WRONG: it is none.
    """
    found = load_plain(content.decode("utf-8"))
    if isinstance(found, dict) and found.get("schema") == 1:
        return _converted(OldBudget.model_validate(found, strict=True))
    budget = Budget.model_validate(found, strict=True)
    check_metrics(budget.tolerance)
    unlisted = {spot.card for spot in budget.spots} - budget.cards.keys()
    if unlisted:
        raise ValueError(f"cards: {min(unlisted)} has budgets and stands not among the cards")
    return budget


def check_metrics(names: Iterable[str]) -> None:
    """Refuse metrics that there are none of.

    Raises:
        ValueError: and the nearest that there is.
    """
    from methods.wording import nearest

    for name in names:
        if name not in METRICS:
            raise ValueError(f"tolerance: no metric {name!r}; {nearest(name, METRICS)}")


def _converted(old: OldBudget) -> Budget:
    """Return a file of schema 1 as one of today: without cells' settings, places by module."""
    cells = {
        path: {old.gpu: CardBudget(
            peak=row.peak, step=row.step, split=row.split,
            places={"": {module or OUTSIDE: size for module, size in row.modules.items()}},
        )}
        for path, row in old.cells.items()
    }  # fmt: skip
    return Budget(
        schema=SCHEMA, kind=old.kind, cards={old.gpu: old.software},
        tolerance={"peak": old.tolerance},
        history=[one.reason for one in old.history], cells=cells,
    )  # fmt: skip


def refuse_other_kind(budget: Budget, figures: Figures) -> None:
    """Refuse to hold measured figures against forecast ones.

    Raises:
        UserError: the two differ in kind.
    """
    if budget.kind != figures.kind:
        raise UserError(
            f"the budget holds {budget.kind} figures; these are {figures.kind} ones; name another "
            "--budget file"
        )


def row_of(figure: Figure, tolerance: Mapping[str, float], reason: str) -> CardBudget:
    """Return the block of a figure: metrics that are held, places that hold much."""
    places: dict[str, dict[str, int]] = {}
    for place, size in sorted(figure.places.items(), key=lambda each: (-each[1], each[0])):
        if size >= LEAST * figure.peak:
            places.setdefault(place.category, {})[place.module or OUTSIDE] = size
    split = {name: size for name, size in figure.split.items() if size}
    held = {name: figure.sizes.get(name) for name in SIZES if name in tolerance}
    return CardBudget(
        key=figure.key, settings=dict(figure.settings), reason=reason,
        **{**held, "peak": figure.peak}, step=_step(figure, tolerance), split=split,
        places={name: places[name] for name in dict.fromkeys((*split, *places)) if name in places},
    )  # fmt: skip


def _step(figure: Figure, tolerance: Mapping[str, float]) -> StepBudget | None:
    """Return a step's time; how far a measured one may move, the file says."""
    if figure.step is None or (figure.step.bar == NO_BAR and STEP not in tolerance):
        return None
    bar = tolerance.get(STEP, figure.step.bar)
    return StepBudget(seconds=figure.step.seconds, bar=bar).rounded()


class _Folded(dict[str, Any]):
    """A mapping on one line, or as many as it takes."""


class _Dumper(yaml.SafeDumper):
    """Writes what `load_plain` reads, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Folded,
    lambda dumper, data: dumper.represent_mapping(
        "tag:yaml.org,2002:map", data.items(), flow_style=True
    ),
)


def _represent_word(dumper: _Dumper, word: str) -> Any:
    """Write a word with line breaks, of any kind, with escapes: folded ones are read as spaces."""
    style = '"' if word.splitlines() not in ([], [word]) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", word, style=style)


_Dumper.add_representer(str, _represent_word)


def write_budget(file: Path, budget: Budget) -> None:
    """Write the file: a place a line, no line longer than it takes to name one thing."""
    content = budget.model_dump(by_alias=True)
    for rows in content["cells"].values():
        for row in rows.values():
            for name in {"settings", "step"} & row.keys():
                row[name] = _Folded(row[name])
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=FOLDED)
    durable.write_text(file, text)
