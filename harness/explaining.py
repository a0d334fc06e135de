"""What `headroom forecast --explain` prints and writes: one cell, or one against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.command import write_json
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.forecasting.cards import Card
    from harness.forecasting.forecaster import Forecaster
    from harness.suite.cell import Cell


class Telling(NamedTuple):
    """How an explanation is told.

    Attributes:
        command: that asks for it.
        notes: to stand below the others.
        json_file: for all figures; None: nowhere.
        out: folder of a report; None: none is written.
    """

    command: str
    notes: Sequence[str]
    json_file: Path | None
    out: Path | None


def refuse_beside_explain(explain: str | None, against: str | None, given: dict[str, bool]) -> None:
    """Refuse options that an explanation does without.

    Raises:
        UserError: one of them is given, or `--against` alone.
    """
    options = [option for option, is_given in given.items() if is_given]
    if explain is not None and options:
        raise UserError(f"--explain looks at one cell as it is; leave out {', '.join(options)}")
    if explain is None and against is not None:
        raise UserError("--against is what --explain CELL is held against; name that one, too")


def cells_of(cells: Sequence[Cell], explain: str, against: str | None) -> list[Cell]:
    """Return the cell to explain and, where there is one, the cell to hold it against.

    Raises:
        UserError: a pattern matches none or several.
    """
    given = {"--explain": explain, "--against": against}
    return [_one(cells, text, option) for option, text in given.items() if text is not None]


def _one(cells: Sequence[Cell], pattern: str, option: str) -> Cell:
    from harness.suite.suite import choose

    found = choose(cells, pattern, option)
    if len(found) > 1:
        paths = ", ".join(cell.path for cell in found[:4])
        raise UserError(f"{option} matches {len(found)} cells; name one, such as {paths}")
    return found[0]


def tell(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card], how: Telling
) -> None:
    """Explain a cell, or hold the first of two against the second.

    Raises:
        UserError: a cell cannot be forecast.
    """
    (_one_cell if len(cells) == 1 else _two_cells)(forecaster, cells, cards, how)


def _one_cell(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card], how: Telling
) -> None:
    from harness.forecasting.explain import explain
    from harness.reporting.explained import explanation_data, explanation_notes, explanation_tables
    from harness.reporting.terminal import print_tables

    explanation = explain(forecaster, cells[0], cards)
    print_tables(explanation_tables(explanation), [*explanation_notes(explanation), *how.notes])
    write_json(how.json_file, explanation_data(explanation))
    if how.out is not None:
        from harness.reporting.forecast_report import report_of_explanation, write

        timeline = forecaster.timeline(explanation.request)
        write(report_of_explanation(how.command, explanation, timeline), how.out)


def _two_cells(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card], how: Telling
) -> None:
    from harness.forecasting.against import against
    from harness.reporting.terminal import print_tables
    from harness.reporting.two_cells import against_data, against_notes, against_tables

    found = against(forecaster, cells[0], cells[1], cards)
    print_tables(against_tables(found), [*against_notes(found), *how.notes])
    write_json(how.json_file, against_data(found))
    if how.out is not None:
        from harness.reporting.forecast_report import report_of_two, write

        write(report_of_two(how.command, found), how.out)
