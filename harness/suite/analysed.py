"""What a suite asks of every run beyond its scores: analyses by name, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ValidationError

from harness.analyses import get_analysis
from harness.errors import UserError
from methods.wording import first_finding, first_mistake, shortened

if TYPE_CHECKING:
    from harness.suite.cell import Cell
    from harness.suite.document import Document


def _filled(value: Any) -> Any:
    """Return every analysis with all of its options, those that are not said at their defaults."""
    if not isinstance(value, Mapping):
        return value  # the field's own validation words this one
    return {
        str(name): get_analysis(str(name))(**(given or {})).model_dump(mode="json")
        for name, given in value.items()
    }


# `{hessian: {top: 5}, cka: null}`.
Analyses = Annotated[dict[str, dict[str, Any]], BeforeValidator(_filled)]


def check_analyses(document: Document) -> None:
    """Validate names and options, which pydantic cannot see through the registry.

    Raises:
        UserError: naming file, line, key, value and the nearest one.
    """
    given = document.data.get("analyses")
    if given is None:
        document.data.pop("analyses", None)  # nothing is asked
        return
    if not isinstance(given, Mapping):
        where = document.where(("analyses",))
        raise UserError(
            f"{where}: analyses: input should be a mapping of analyses to their options, such as "
            f"{{hessian: {{top: 5}}}} (given: {shortened(given)})"
        )
    for name, options in given.items():
        where = document.where(("analyses", name))
        try:
            kind = get_analysis(name)
        except ValueError as error:
            raise UserError(f"{where}: analyses: {error}") from None
        if options is not None and not isinstance(options, Mapping):
            raise UserError(
                f"{where}: analyses.{name}: options are a mapping (given: {shortened(options)})"
            )
        try:
            kind(**(options or {}))
        except ValidationError as error:
            place = first_finding(error, options)["loc"]
            what = first_mistake(error, "analyses", name, model=kind, given=options)
            raise UserError(f"{document.where(('analyses', name, *place))}: {what}") from None


def refuse_unfit_analyses(cell: Cell) -> None:
    """Refuse an analysis that cannot be done on the cell's runs.

    Raises:
        UserError: naming suite, cell, analysis and why.
    """
    for name, analysis in cell.configured_analyses.items():
        where = f"suite {cell.suite}, {cell.path}: analyses.{name}"
        if cell.task.shape is not None:
            raise UserError(f"{where}: a bare shape has no data, so there is no run to look at")
        why = analysis.obstacle(
            cell.configured_method, cell.train.attention, str(cell.train.dtypes)
        )
        if why:
            raise UserError(f"{where}: {why}; leave the cell out (without), or the analysis")
