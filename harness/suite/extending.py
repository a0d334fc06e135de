"""Suites that extend another one: what they say is laid over what that one says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.paths import user_path
from harness.suite.document import Document, read_yaml
from harness.suite.reading import Path_
from methods.wording import shortened

EXTENDS = "extends"
OWN = ("name", "description")  # never taken over
MERGED = ("train", "grid", "assumed")  # key by key
APPENDED = ("rules", "without")  # later ones win
CHOSEN = ("models", "tasks", "methods")  # a bare name takes over the other file's entry
EXCLUSIVE = {"model": "models", "models": "model"}
BESIDE = ("label", "train")  # keys of an entry that are not its name


def read_suite(path: Path, readers: tuple[Path, ...] = ()) -> Document:
    """Read a suite's file and, below it, the one that it extends, by a path beside it.

    Raises:
        UserError: one of them cannot be read, or extends itself in the end.
    """
    document = read_yaml(path)
    if EXTENDS not in document.data:
        return document
    named, where = document.data.pop(EXTENDS), document.where((EXTENDS,))
    if not isinstance(named, str) or not named.strip():
        raise UserError(
            f"{where}: extends is {shortened(named)}, not a suite's file, such as glue.yaml"
        )
    if "name" not in document.data:
        raise UserError(f"{path}: no name; a suite that extends another has one of its own")
    other = path.parent / user_path(named)
    chain = (*readers, path.resolve())
    if other.resolve() in chain:
        raise UserError(f"{where}: extends {named}: it extends this file in turn")
    try:
        below = read_suite(other, chain)
    except UserError as error:
        raise UserError(f"{where}: extends {named}: {error}") from None
    return _laid_over(below, document)


def entries_of(entries: Any, item: Any) -> list[int]:
    """Return which entries of a list a bare name means: those of that label, else of that name."""
    if not isinstance(item, str) or not isinstance(entries, list):
        return []
    labelled = [i for i, entry in enumerate(entries) if _label(entry) == item]
    return labelled or [i for i, entry in enumerate(entries) if item in _names(entry)]


def _label(entry: Any) -> Any:
    return entry.get("label") if isinstance(entry, dict) else None


def _names(entry: Any) -> list[Any]:
    if not isinstance(entry, dict):
        return []
    keys = [] if "name" in entry else [key for key in entry if key not in BESIDE]
    return [entry.get("name"), *keys]


def _laid_over(below: Document, above: Document) -> Document:
    """Return both as one document that knows which file each value comes from."""
    taken = {key: value for key, value in below.data.items() if key not in OWN}
    result = Document(above.source, taken, below=[*below.below, below.data])
    if isinstance(taken.get("assumed"), dict):
        taken["assumed"] = _of_entries_there(taken["assumed"], above.data)
    _take(result, below, lambda path: path if path[0] in taken else None)
    for key, value in above.data.items():
        there = taken.get(key)
        if key in MERGED and isinstance(value, dict) and isinstance(there, dict):
            taken[key] = {**there, **value}
            _take(result, above, lambda path, key=key: path if path[0] == key else None)
        elif key in APPENDED and isinstance(value, list) and isinstance(there, list):
            taken[key] = [*there, *value]
            _take(result, above, lambda path, key=key, by=len(there): _shifted(path, key, by))
        else:
            _replace(result, below, above, key)
    return result


def _of_entries_there(assumed: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is assumed of entries that the upper file does not take over."""

    def is_there(place: str) -> bool:
        axis, _, rest = place.partition(".")
        items = above.get(axis) if axis in CHOSEN else None
        if not rest or not isinstance(items, list):
            return True
        return any(isinstance(item, str) and f"{rest}.".startswith(f"{item}.") for item in items)

    return {place: why for place, why in assumed.items() if is_there(str(place))}


def _replace(result: Document, below: Document, above: Document, key: str) -> None:
    """Put the upper file's value in place of the lower one's, with the entries that it names."""
    value, there = above.data[key], result.data.get(key)
    for gone in filter(None, (key, EXCLUSIVE.get(key))):
        result.data.pop(gone, None)
        for path in [path for path in result.lines if path[:1] == (gone,)]:
            del result.lines[path]
    if key not in CHOSEN or not isinstance(value, list):
        result.data[key] = value
        _take(result, above, lambda path: path if path[0] == key else None)
        return
    entries = list(_chosen(there, value))
    result.data[key] = [entry for _, _, entry in entries]
    for place, (from_below, number, _) in enumerate(entries):
        _take(
            result,
            below if from_below else above,
            lambda path, number=number, place=place: _moved(path, key, number, place),
        )


def _chosen(there: Any, value: list[Any]) -> Iterator[tuple[bool, int, Any]]:
    """Yield (whether it is the lower file's, its number there, the entry) for each entry."""
    for number, item in enumerate(value):
        matches = entries_of(there, item)
        for match in matches:
            yield True, match, there[match]
        if not matches:
            yield False, number, item


def _take(result: Document, source: Document, place: Any) -> None:
    """Note where values stand: `place` tells a value's new path, or None where it is none."""
    for path, line in source.lines.items():
        new = place(path) if path else None
        if new is not None:
            result.lines[new] = line
            result.files[new] = source.files.get(path, source.source)


def _shifted(path: Path_, key: str, by: int) -> Path_ | None:
    if path[0] != key:
        return None
    return path if len(path) == 1 else (key, int(path[1]) + by, *path[2:])


def _moved(path: Path_, key: str, number: int, place: int) -> Path_ | None:
    return (key, place, *path[2:]) if path[:2] == (key, number) else None
