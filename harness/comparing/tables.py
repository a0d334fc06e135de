"""A comparison as tables: environment and settings first, then bytes, places, scores and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from harness.comparing.moves import CellMove, Comparison, Shift
from harness.comparing.scores import score_table
from harness.comparing.sides import Place
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.forecasts import without_common_parts
from harness.units import in_bytes, mib, moved, moved_share

NUM_PLACES = 5  # a cell, of those that moved
LONGEST = 28  # characters of a setting's value: some are paths
BESIDE = ("reserved", "at rest", "evaluation")


class _Differs(NamedTuple):
    what: str
    before: str
    after: str
    where: str = ""


@dataclass(frozen=True)
class _Row:
    """A cell, a place in it, or what moved elsewhere."""

    name: str
    moved: int
    shift: Shift | None = None


def comparison_tables(comparison: Comparison) -> list[Table[Any]]:
    """Return the tables that have something to say, in the order in which they are read."""
    found, names = _one_of_each(comparison)
    sized = [move for move in found if any(shift.moved for shift in move.sizes.values())]
    split = [move for move in found if any(shift.moved for shift in move.split.values())]
    inside = [move for move in found if move.moved_at_peak]
    tables: list[Table[Any]] = [
        _environment(comparison),
        _settings(comparison),
        Table("Peak memory, MiB", _size_columns(sized, names), sized),
        Table("Moved at the peak, by category", _category_columns(split, names), split),
        Table("Moved at the peak, by place", _place_columns(), list(_place_rows(inside, names))),
        score_table(comparison),
    ]
    return [table for table in tables if table.rows]


def short_names(comparison: Comparison) -> dict[str, str]:
    """Return the cells' paths without what all of them share."""
    return without_common_parts([move.path for move in comparison.moves])[0]


def _one_of_each(comparison: Comparison) -> tuple[list[CellMove], dict[str, str]]:
    """Return one cell of all that moved alike, as seeds do, and what to call them together."""
    alike: dict[Any, list[CellMove]] = {}
    for move in comparison.moved:
        alike.setdefault(move.shifts, []).append(move)
    names, told = short_names(comparison), {}
    for first, *others in alike.values():
        more = f" and {len(others)} more" if len(others) > 1 else ""
        second = f", {names[others[0].path]}" if len(others) == 1 else ""
        told[first.path] = f"{names[first.path]}{second}{more}"
    return [moves[0] for moves in alike.values()], told


def all_cells(comparison: Comparison) -> Table[Any]:
    """Return every cell that has figures on both sides, for machines."""
    names = {move.path: move.path for move in comparison.moves}
    moves = comparison.moves
    columns = [*_size_columns(moves, names), *_category_columns(moves, names)[1:]]
    return Table("cells", columns, moves)


def _environment(comparison: Comparison) -> Table[_Differs]:
    rows = [_Differs(name, *map(_cut, pair)) for name, pair in comparison.facts.items()]
    return Table("Environment: what differs", _differs_columns("what"), rows)


def _settings(comparison: Comparison) -> Table[_Differs]:
    rows = [
        _Differs(name, _cut(before), _cut(after), _share_of(len(paths), comparison))
        for (name, before, after), paths in comparison.settings.items()
    ]
    columns = [*_differs_columns("setting"), words("cells", lambda row: row.where)]
    return Table("Settings: what differs", columns, rows)


def _share_of(count: int, comparison: Comparison) -> str:
    common = len(comparison.moves) + len(comparison.reasons)
    return "all" if count == common else f"{count} of {common}"


def _differs_columns(what: str) -> list[Column[_Differs]]:
    return [
        words(what, lambda row: row.what),
        words("before", lambda row: row.before),
        words("after", lambda row: row.after),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _size_columns(moves: list[CellMove], names: Mapping[str, str]) -> list[Column[CellMove]]:
    """Return the peak, and of what is beside it whatever moved in any cell."""
    columns: list[Column[CellMove]] = [
        words("cell", lambda move: names[move.path]),
        number("before", lambda move: move.sizes["peak"].before, mib, "peak before (B)"),
        number("after", lambda move: move.sizes["peak"].after, mib, "peak after (B)"),
        number("moved", lambda move: move.sizes["peak"].moved, moved, "peak moved (B)"),
        number("%", lambda move: move.sizes["peak"].share, _bare, "peak moved (fraction)"),
    ]
    for name in BESIDE:
        if any(name in move.sizes and move.sizes[name].moved for move in moves):
            read = partial(_moved_size, name=name)
            columns.append(number(name, read, moved, f"{name} moved (B)"))
    return columns


def _bare(share: float | None) -> str:
    return moved_share(share).removesuffix(" %")


def _moved_size(move: CellMove, name: str) -> int | None:
    return move.sizes[name].moved if name in move.sizes else None


def _category_columns(moves: list[CellMove], names: Mapping[str, str]) -> list[Column[CellMove]]:
    categories = dict.fromkeys(
        name for move in moves for name, shift in move.split.items() if shift.moved
    )
    columns: list[Column[CellMove]] = [words("cell", lambda move: names[move.path])]
    for name in categories:
        read = partial(_moved_category, name=name)
        columns.append(number(name, read, moved, f"{name} moved (B)"))
    return columns


def _moved_category(move: CellMove, name: str) -> int:
    return move.split[name].moved if name in move.split else 0


def _place_columns() -> list[Column[_Row]]:
    return [
        words("cell and place", lambda row: row.name),
        number("before", lambda row: row.shift.before if row.shift else None, in_bytes,
               "before (B)"),
        number("after", lambda row: row.shift.after if row.shift else None, in_bytes,
               "after (B)"),
        number("moved", lambda row: row.moved, moved, "moved (B)"),
    ]  # fmt: skip


def _place_rows(moves: list[CellMove], names: Mapping[str, str]) -> Iterator[_Row]:
    """Yield every cell that moved with the places that moved most, and what is left of the move."""
    for move in moves:
        peak, places = move.sizes["peak"], list(move.places.items())
        yield _Row(f"{names[move.path]}{_part(move)}", peak.moved, peak)
        left = peak.moved
        for place, shift in places[:NUM_PLACES]:
            left -= shift.moved
            yield _Row(f"· {place_name(place)}", shift.moved, shift)
        more = len(places) - NUM_PLACES
        if left or more > 0:
            yield _Row(f"· {more} more places" if more > 0 else "· elsewhere", left)


def _part(move: CellMove) -> str:
    before, after = move.before.part, move.after.part
    return "" if before == after else f" (peak in {before}, now in {after})"


def place_name(place: Place) -> str:
    """Return a place as people read it."""
    module = module_name(place)
    return f"{place.category} in {module}" if place.category else module


def module_name(place: Place) -> str:
    """Return where in the model it is."""
    return place.module or "(outside of modules)"
