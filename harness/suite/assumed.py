"""What a suite assumes: values that the source it reproduces does not give, marked as such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.suite.settings import TrainSettings
from methods import get_method
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.document import Document
    from harness.suite.suite import Suite

ENTRIES = ("methods", "tasks", "models")


def drop_overridden(assumed: Any, keys: Iterable[str]) -> Any:
    """Return what is still assumed when these keys have been overridden: what a user set is not."""
    if not isinstance(assumed, dict):
        return assumed
    keys = [*keys]
    return {
        place: why
        for place, why in assumed.items()
        if not any(f"{place}.".startswith(f"{key}.") for key in keys)
    }


def refuse_idle_assumptions(suite: Suite, document: Document) -> None:
    """Refuse an assumption of nothing: a place that the suite does not have.

    Raises:
        UserError: naming file, line, place and the nearest one.
    """
    for place in suite.assumed:
        fault = _fault(suite, place)
        if fault:
            raise UserError(f"{document.where(('assumed', place))}: assumed.{place}: {fault}")


def _fault(suite: Suite, place: str) -> str | None:
    """Say what is wrong with a place, such as `train.clip` or `methods.lora-safe.tau`."""
    top, *rest = place.split(".")
    keys = [key for key in type(suite).model_fields if key != "assumed"]
    if top not in keys:
        return f"no such key; {nearest(top, keys)}"
    if top == "train" and rest:
        settings = TrainSettings.model_fields
        return None if rest[0] in settings else f"no such setting; {nearest(rest[0], settings)}"
    if top == "analyses" and rest:
        return _fault_of_option(suite.analyses, rest)
    if top in ENTRIES and rest:
        return _fault_of_entry(suite, top, ".".join(rest))
    return f"{top} is one value" if rest else None


def _fault_of_option(analyses: Mapping[str, Any], rest: list[str]) -> str | None:
    """Look for `NAME` or `NAME.OPTION`."""
    name, *option = rest
    if name not in analyses:
        return f"not asked for; {nearest(name, analyses)}"
    if option and option[0] not in analyses[name]:
        return f"no such option; {nearest(option[0], analyses[name])}"
    return None


def _fault_of_entry(suite: Suite, axis: str, name: str) -> str | None:
    """Look for `LABEL` or `LABEL.KEY`; a label may hold dots, and be a pattern."""
    entries: dict[str, Any] = {}
    match axis:
        case "methods":
            entries = {entry.shown: entry for entry in suite.methods}
        case "tasks":
            entries = {entry.shown: entry for entry in suite.tasks}
        case "models":
            entries = {entry.name: entry for entry in suite.chosen_models}
    if any(fnmatch(label, name) for label in entries):
        return None
    label, _, key = name.rpartition(".")
    fitting = [entry for shown, entry in entries.items() if label and fnmatch(shown, label)]
    if not fitting:
        return f"fits none of them; {nearest(label or name, entries)}"
    known = list(TrainSettings.model_fields)
    if axis == "methods":
        known += [k for entry in fitting for k in get_method(entry.name).model_fields]
    else:
        known += list(type(fitting[0]).model_fields)
    return None if key in known else f"no such option; {nearest(key, known)}"


def sentences(suite: Mapping[str, Any]) -> list[str]:
    """Return what a suite assumes, from its content as JSON, a sentence for the whole of it."""
    assumed = suite.get("assumed")
    if not isinstance(assumed, Mapping) or not assumed:
        return []
    told = "; ".join(f"{_value(suite, place)} ({why})" for place, why in assumed.items())
    return [f"Assumed, as the suite says: {told}."]


def _value(suite: Mapping[str, Any], place: str) -> str:
    """Return the place with its value where it is one of a plain mapping."""
    value: Any = suite
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return place if value is None or isinstance(value, (dict, list)) else f"{place} = {value}"
