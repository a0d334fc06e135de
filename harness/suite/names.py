"""Names of its own entries that a suite uses: in rules, as baseline, as rows of a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.published import published
from harness.suite.entries import MethodEntry, ModelEntry, Some, TaskEntry
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.document import Document
    from harness.suite.suite import Suite

Entry = MethodEntry | TaskEntry | ModelEntry
KINDS: dict[str, type[Entry]] = {"methods": MethodEntry, "tasks": TaskEntry, "models": ModelEntry}


@dataclass(frozen=True)
class Written:
    """What files list before anything overrides it: a choice of it is no mistake of a rule."""

    entries: Mapping[str, list[Any]]

    @classmethod
    def of(cls, document: Document) -> Written:
        """Keep the lists of the suite's axes, and of those that it extends."""
        lists: dict[str, list[Any]] = {axis: [] for axis in KINDS}
        for data in (document.data, *document.below):
            for axis, entries in lists.items():
                raw = data.get(axis)
                entries += raw if isinstance(raw, list) else []
            lists["models"].append(data.get("model"))
        return cls(lists)

    def names(self, axis: str) -> Iterator[str]:
        """Yield the names of an axis' entries, as far as they have any."""
        for raw in self.entries.get(axis, []):
            try:
                yield _name(KINDS[axis].model_validate(raw))
            except ValueError:
                continue  # a mistake in what was overridden is nobody's concern


def _name(entry: Entry) -> str:
    return entry.name if isinstance(entry, ModelEntry) else entry.shown


def refuse_idle_names(suite: Suite, document: Document, written: Written) -> None:
    """Refuse a rule, or what is left out, with a pattern that no entry fits, and such a baseline.

    Raises:
        UserError: naming file, line, key, value and the nearest name.
    """
    known = {
        "methods": {*map(_name, suite.methods), *written.names("methods")},
        "tasks": {*map(_name, suite.tasks), *written.names("tasks")},
        "models": {*map(_name, suite.chosen_models), *written.names("models")},
    }
    for key, index, some in _patterns(suite):
        for axis, names in known.items():
            for pattern in getattr(some, axis):
                if not any(fnmatch(name, pattern) for name in names):
                    where = document.where((key, index, axis))
                    raise UserError(f"{where}: {key}.{index}.{axis}: {_fits_none(pattern, names)}")
    base = suite.baseline
    if base is not None and not any(f"{base} ".startswith(f"{m} ") for m in known["methods"]):
        where = document.where(("baseline",))
        raise UserError(f"{where}: baseline: {_fits_none(base, known['methods'])}")


def refuse_unknown_rows(suite: Suite, document: Document, written: Written) -> None:
    """Refuse a row that the published table does not have, and a method that the suite does not.

    Raises:
        UserError: naming file, line, table, row and the nearest one.
    """
    labels = {*map(_name, suite.methods), *written.names("methods")}
    for name, rows in suite.published.items():
        known = published.table(name).methods
        for row, label in rows.items():
            where = f"{document.where(('published', name, row))}: published.{name}"
            if row not in known:
                raise UserError(f"{where}: no row {row!r} there; {nearest(row, known)}")
            if label not in labels:
                raise UserError(
                    f"{where}.{row}: no method {label!r} here; {nearest(label, labels)}"
                )


def _patterns(suite: Suite) -> Iterator[tuple[str, int, Some]]:
    """Yield what chooses cells by patterns, with its key and number."""
    for key, entries in {"rules": suite.rules, "without": suite.without}.items():
        yield from ((key, index, some) for index, some in enumerate(entries))


def _fits_none(given: str, names: Iterable[str]) -> str:
    return f"{given!r} fits none of them; {nearest(given.strip('*'), names)}"
