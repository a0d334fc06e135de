"""Words for people: the nearest allowed name, a mistake in a sentence, labels that fit a path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


def nearest(given: object, allowed: Iterable[str]) -> str:
    """Return the tail of an error message: the allowed values that are close, then all of them."""
    options = sorted(set(allowed))
    if not options:
        return "there is none to choose from"
    all_of_them = f"allowed: {', '.join(options)}"
    meant = did_you_mean(given, options)
    return f"{meant} ({all_of_them})" if meant else all_of_them


def did_you_mean(given: object, allowed: Iterable[str]) -> str:
    """Return the question that names the one or two close options; empty where none is."""
    text, options = str(given), sorted(set(allowed))
    same = [option for option in options if _words(option) == _words(text)]
    longer = [o for o in options if text and re.match(rf"{re.escape(text)}[^\w]", o)]  # bert-base
    close = same or get_close_matches(text, longer, n=2, cutoff=0)
    close = close or get_close_matches(text, options, n=2)
    close = close or [
        o for o in options if o and text and (text.startswith(o) or o.startswith(text))
    ]
    return f"did you mean {' or '.join(map(repr, close[:2]))}?" if close else ""


def _words(text: str) -> frozenset[str]:
    """Return what a name is made of, whatever its case and order and what stands between."""
    return frozenset(re.findall(r"[a-z0-9]+", text.casefold()))


def shortened(given: object, most: int = 200) -> str:
    """Return a value as Python writes it, or the beginning of that."""
    text = repr(given)
    return text if len(text) <= most else f"{text[:most]}..."


def spelled(value: object) -> str:
    """Return a setting's value as a suite spells it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def mistake(finding: Any, key: str, allowed: Iterable[str] = ()) -> str:
    """Return one finding of pydantic's as a sentence.

    Args:
        finding: an entry of `ValidationError.errors()`.
        key: what the user calls the place; empty for the whole.
        allowed: the keys that fit beside one that does not.
    """
    kind, given = finding["type"], finding["input"]
    if kind == "extra_forbidden":
        keys = list(allowed)
        return f"unknown key {key!r}" + (f"; {nearest(finding['loc'][-1], keys)}" if keys else "")
    if kind == "missing":
        return f"key {key!r} is missing"
    if kind == "literal_error":
        expected = str(finding["ctx"]["expected"]).replace(" or ", ", ")
        options = [part.strip(" '") for part in expected.split(",")]
        return f"{key} = {shortened(given)} is unknown; {nearest(given, options)}"
    message = _wanted(finding)
    told = kind == "value_error" and (not isinstance(given, int | float) or f"{given}" in message)
    tail = "" if told else f" (given: {shortened(given)})"
    return f"{key + ': ' if key else ''}{message[:1].lower() + message[1:]}{tail}"


def _wanted(finding: Any) -> str:
    """Return what a finding of pydantic's asks for, in the words of a suite."""
    kind, given = finding["type"], finding["input"]
    if kind in {"tuple_type", "list_type"}:
        item = given if isinstance(given, str | int | float) else "..."
        return f"input should be a list, such as [{item}]"
    if kind == "too_short":
        return f"input should have at least {finding['ctx']['min_length']} item"
    if kind in {"model_type", "dict_type"}:
        return "input should be a mapping of keys to values"
    return str(finding["msg"]).removeprefix("Value error, ")


def first_mistake(
    error: ValidationError, *within: str, model: type[BaseModel], given: Any = None
) -> str:
    """Return the first finding as a sentence.

    Args:
        error: of the model.
        within: what the user calls the places around the model.
        model: what was validated against: its keys are the ones that are allowed.
        given: what was validated; None where it holds no choice between several types.
    """
    finding = first_finding(error, given)
    key = ".".join(map(str, (*within, *finding["loc"])))
    return mistake(finding, key, _keys_at(model, finding["loc"][:-1]))


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    """Return the keys of the models that may stand at a place inside of `model`."""
    models = [model]
    for part in place:
        if isinstance(part, str):
            fields = [each.model_fields[part] for each in models if part in each.model_fields]
            models = [inner for field in fields for inner in _models_in(field.annotation)]
    return {key for each in models for key in each.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _models_in(part)]


def first_finding(error: ValidationError, given: Any) -> dict[str, Any]:
    """Return the first finding, at the place where it is in `given`.

    Where one of several types would do, pydantic finds fault with each of them. The one that got
    farthest into the value is meant; of a word, the one with names to choose from.
    """
    found: list[dict[str, Any]] = [dict(finding) for finding in error.errors()]
    if given is None:
        return found[0]
    branch = _depth_of_branch(found[0], given)
    if branch is None:
        return found[0]
    start = found[0]["loc"][:branch]
    rivals: list[dict[str, Any]] = [
        {**one, "loc": _place(one, given)} for one in found if one["loc"][:branch] == start
    ]
    depth = max(len(one["loc"]) for one in rivals)
    best = [one for one in rivals if len(one["loc"]) == depth]
    named = [
        one for one in best if one["type"] == "extra_forbidden"
        or (one["type"] == "literal_error" and isinstance(one["input"], str))
    ]  # fmt: skip
    if named or len(best) == 1 or best[0]["type"] == "missing":
        return (named or best)[0]
    wanted = dict.fromkeys(_wanted(one).partition(" should be ")[2] for one in best)
    return {**best[0], "type": "several", "msg": f"input should be {' or '.join(wanted)}"}


def _depth_of_branch(finding: Mapping[str, Any], given: Any) -> int | None:
    """Return how deep in its place pydantic's name of a type stands; None where none does."""
    place, loc = _place(finding, given), finding["loc"]
    if len(place) == len(loc):
        return None
    return next((i for i, (a, b) in enumerate(zip(place, loc, strict=False)) if a != b), len(place))


def _place(finding: Mapping[str, Any], given: Any) -> tuple[str | int, ...]:
    """Return the keys and indices of a finding's place that lead somewhere in `given`."""
    place: list[str | int] = []
    last = len(finding["loc"]) - 1
    for depth, part in enumerate(finding["loc"]):
        if (isinstance(given, Mapping) and part in given) or (
            isinstance(given, Sequence) and isinstance(part, int) and part < len(given)
        ):
            given = given[part]
        elif not (finding["type"] == "missing" and depth == last):
            continue
        place.append(part)
    return tuple(place)


def label_of(name: str, parts: Iterable[tuple[str, object, object]] = ()) -> str:
    """Join `name` with each (prefix, value, default) whose value is not the default.

    A default of None means that the part is always shown. The result is one valid path part.
    """
    shown = [name]
    for prefix, value, default in parts:
        if default is None or value != default:
            text = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            shown.append(f"{prefix}{text}")
    return re.sub(r"[^\w.+=-]+", "_", "-".join(shown))
