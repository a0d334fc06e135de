"""Classes by name: what is built in, and what plug-ins add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from methods.wording import nearest


class PluginError(ValueError):
    """A plug-in does not give what its name promises; the message says which, and why."""


@dataclass(frozen=True)
class Entry:
    """One name.

    Attributes:
        target: `module:attribute`, for people.
        source: the distribution or module that brings it; empty for what is built in.
        load: imports it.
    """

    target: str
    source: str
    load: Callable[[], Any]


class Registry:
    """Names to classes, which are imported when they are asked for.

    Plug-ins are installed packages with entry points of `group`, and modules that are added. A
    broken one is an error where its name is asked for, and nowhere else.

    Args:
        kind: what messages call an entry.
        group: entry points that add to it.
        builtin: name -> "module:attribute".
        check: says of what was loaded why it is none of the kind; None: it is one.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, str],
        check: Callable[[Any], str | None] = lambda loaded: None,
    ) -> None:
        self.kind, self.group, self.builtin, self.check = kind, group, builtin, check
        self.used: dict[str, Any] = {}  # plug-ins that were asked for, by name
        self._added: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """Return all names: what is built in as registered, then plug-ins'."""
        return list(self.entries)

    @property
    def entries(self) -> dict[str, Entry]:
        """All entries by name; a plug-in cannot take the place of what is built in."""
        plugins = {**self._installed, **self._added}
        return {**self._builtin, **{n: e for n, e in plugins.items() if n not in self.builtin}}

    @property
    def hidden(self) -> dict[str, Entry]:
        """The plug-ins whose names are taken, which therefore cannot be used."""
        plugins = {**self._installed, **self._added}
        return {name: entry for name, entry in plugins.items() if name in self.builtin}

    def add(self, name: str, loaded: Any, source: str) -> None:
        """Add what a module brings.

        Raises:
            PluginError: the name is taken, or it is none of the kind.
        """
        wrong = self.check(loaded)
        if wrong is not None:
            raise PluginError(f"{self.kind} {name!r}: {wrong}")
        taken = self.entries.get(name)
        if taken is not None and taken.source != source:
            raise PluginError(
                f"{self.kind} {name!r} is there already, from {taken.source or 'Headroom itself'}"
            )
        place = f"{loaded.__module__}:{loaded.__qualname__}"
        self._added[name] = Entry(place, source, lambda: loaded)

    def get(self, name: str) -> Any:
        """Return what is registered as `name`.

        Raises:
            ValueError: nothing is; the message names the nearest.
            PluginError: the plug-in that should bring it is broken.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ValueError(f"unknown {self.kind} {name!r}; {nearest(name, self.entries)}")
        if not entry.source:
            return entry.load()
        who = f"{self.kind} {name!r} of plug-in {entry.source} ({entry.target})"
        try:
            loaded = entry.load()
        except Exception as error:  # whatever foreign code does when it is imported
            raise PluginError(f"{who}: {type(error).__name__}: {error}") from error
        wrong = self.check(loaded)
        if wrong is not None:
            raise PluginError(f"{who}: {wrong}")
        self.used[name] = loaded
        return loaded

    @property
    def _builtin(self) -> dict[str, Entry]:
        def entry(target: str) -> Entry:
            module, _, attribute = target.partition(":")
            return Entry(target, "", lambda: getattr(import_module(module), attribute))

        return {name: entry(target) for name, target in self.builtin.items()}

    @cached_property
    def _installed(self) -> dict[str, Entry]:
        def source(point: Any) -> str:
            return f"{point.dist.name} {point.dist.version}" if point.dist else point.value

        points = entry_points(group=self.group)
        return {p.name: Entry(p.value, source(p), p.load) for p in points}
