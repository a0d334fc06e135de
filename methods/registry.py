"""Classes by name: what is built in, and what plug-ins add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
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
        base: what every class derives from.
        needs: attributes that every class has.
        named: a class carries the name that it is registered under, as `name`.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        builtin: Mapping[str, str],
        base: Callable[[], type],
        needs: Sequence[str] = (),
        named: bool = True,
    ) -> None:
        self.kind, self.group, self.builtin = kind, group, builtin
        self._base, self._needs, self._named = base, needs, named
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
        taken = self.entries.get(name)
        if taken is not None and taken.source != source:
            raise PluginError(
                f"{self.kind} {name!r} is there already, from {taken.source or 'Headroom itself'}"
            )
        wrong = self._misfit(name, loaded)
        if wrong is not None:
            raise PluginError(f"{self.kind} {name!r}: {wrong}")
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
        who = self.described(name)
        try:
            loaded = entry.load()
        except PluginError as error:
            raise PluginError(f"{who}: {error}") from None
        except Exception as error:  # whatever foreign code does when it is imported
            raise PluginError(f"{who}: {type(error).__name__}: {error}") from error
        wrong = self._misfit(name, loaded)
        if wrong is not None:
            raise PluginError(f"{who}: {wrong}")
        self.used[name] = loaded
        return loaded

    def make(self, name: str, *arguments: Any, needs: Sequence[str] = ()) -> Any:
        """Return an instance of what is registered as `name`, which has the attributes `needs`.

        Raises:
            ValueError, PluginError: as `get` does.
        """
        kind = self.get(name)
        if not self.entries[name].source:
            return kind(*arguments)
        try:
            made = kind(*arguments)
        except Exception as error:  # whatever foreign code does
            raise PluginError(f"{self.described(name)}: {type(error).__name__}: {error}") from error
        missing = [attribute for attribute in needs if not hasattr(made, attribute)]
        if missing:
            raise PluginError(f"{self.described(name)} has no {', '.join(missing)}")
        return made

    def described(self, name: str) -> str:
        """Return what messages call an entry: its kind, name and origin."""
        entry = self.entries[name]
        origin = f" of plug-in {entry.source} ({entry.target})" if entry.source else ""
        return f"{self.kind} {name!r}{origin}"

    def _misfit(self, name: str, loaded: Any) -> str | None:
        """Say of what was loaded why it is none of the kind; None: it is one."""
        base = self._base()
        if not (isinstance(loaded, type) and issubclass(loaded, base)):
            return f"{loaded!r} is no subclass of {base.__module__}.{base.__qualname__}"
        missing = sorted(getattr(loaded, "__abstractmethods__", ()))
        missing += [needed for needed in self._needs if not hasattr(loaded, needed)]
        if missing:
            return f"{loaded.__qualname__} has no {', '.join(missing)}"
        own = getattr(loaded, "name", None)
        if self._named and own != name:
            return f"{loaded.__qualname__}.name is {own!r}: it must be the name it is known by"
        return None

    @property
    def _builtin(self) -> dict[str, Entry]:
        def entry(target: str) -> Entry:
            module, _, attribute = target.partition(":")
            return Entry(target, "", lambda: getattr(import_module(module), attribute))

        return {name: entry(target) for name, target in self.builtin.items()}

    @cached_property
    def _installed(self) -> dict[str, Entry]:
        points: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=self.group):
            same_name = points.setdefault(point.name, [])
            if all(point.value != other.value for other in same_name):  # a package may lie twice
                same_name.append(point)
        return {name: _entry_of(several) for name, several in points.items()}


def _entry_of(points: Sequence[EntryPoint]) -> Entry:
    """Return the entry of the packages that bring one name; of several it can only be told."""
    targets = ", ".join(point.value for point in points)
    dists = (p.dist for p in points)
    sources = ", ".join(f"{d.name} {d.version}" if d else "an unknown package" for d in dists)
    return Entry(targets, sources, points[0].load if len(points) == 1 else _ambiguous)


def _ambiguous() -> Any:
    raise PluginError("several packages bring this name; uninstall all but one")
