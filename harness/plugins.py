"""Plug-ins: methods, tasks and families of others, from installed packages or beside a suite.

An installed package names them as entry points of the groups `headroom.methods`, `headroom.tasks`
and `headroom.families`. A module that is asked for by name has dicts `METHODS`, `TASKS` and
`FAMILIES`, from names to classes; one of them is enough.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import methods
from harness import tasks
from harness.errors import UserError
from harness.tasks import families
from methods.registry import PluginError

REGISTRIES = {
    "METHODS": methods.REGISTRY,
    "TASKS": tasks.REGISTRY,
    "FAMILIES": families.REGISTRY,
}


class Plugin(NamedTuple):
    """A module that was asked for: its name, and the folder where it may lie."""

    module: str
    folder: Path


_loaded: list[Plugin] = []


def loaded() -> list[Plugin]:
    """Return the modules that were loaded, in their order, for processes that need them too."""
    return list(_loaded)


def load_plugins(names: Iterable[str], folder: Path) -> None:
    """Import modules that lie in the folder, or anywhere on Python's path, and register theirs.

    Raises:
        UserError: there is no such module, it fails, or it brings nothing, or a name that is taken.
    """
    for name in names:
        plugin = Plugin(name.removesuffix(".py"), folder.resolve())
        if plugin in _loaded:
            continue
        module = _import(plugin)
        brought = [
            (registry, key, thing)
            for attribute, registry in REGISTRIES.items()
            for key, thing in getattr(module, attribute, {}).items()
        ]
        if not brought:
            raise UserError(
                f"--plugin {name}: {module.__file__} has none of {', '.join(REGISTRIES)}"
            )
        try:
            for registry, key, thing in brought:
                registry.add(key, thing, f"{plugin.module} ({module.__file__})")
        except PluginError as error:
            raise UserError(f"--plugin {name}: {error}") from None
        _loaded.append(plugin)


def in_use() -> dict[str, str]:
    """Return the plug-ins' names that were asked for, and where each comes from."""
    return {
        f"{registry.kind} {name}": registry.entries[name].source
        for registry in REGISTRIES.values()
        for name in registry.used
    }


def fingerprint() -> list[str]:
    """Return hashes of the source of all plug-ins in use; empty where there are none.

    What was computed with other code is told by it.
    """
    used = [thing for registry in REGISTRIES.values() for thing in registry.used.values()]
    files = sorted({file for thing in used for file in _files_of(thing)})
    return [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files]


def _import(plugin: Plugin) -> ModuleType:
    file = plugin.folder / f"{plugin.module.replace('.', '/')}.py"
    try:
        if not file.is_file():
            return import_module(plugin.module)
        there = sys.modules.get(plugin.module)
        if there is not None and getattr(there, "__file__", None) != str(file):
            raise UserError(
                f"--plugin {plugin.module}: another module has this name; rename {file}"
            )
        return there or _import_file(plugin.module, file)
    except ModuleNotFoundError as error:
        if error.name != plugin.module:
            raise UserError(f"--plugin {plugin.module}: {error}") from None
        raise UserError(
            f"--plugin {plugin.module}: no such module, neither {file} nor an installed one"
        ) from None
    except UserError:
        raise
    except Exception as error:  # whatever foreign code does when it is imported
        raise UserError(f"--plugin {plugin.module}: {type(error).__name__}: {error}") from error


def _import_file(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.append(str(file.parent))  # for the modules that it imports from beside it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _files_of(thing: Any) -> Iterator[Path]:
    """Yield the source files of a class: its package's, or the modules beside its own."""
    top = sys.modules[thing.__module__.partition(".")[0]]
    if top.__file__ is None or hasattr(top, "__path__"):
        for folder in top.__path__:
            yield from Path(folder).rglob("*.py")
        return
    beside = Path(top.__file__).parent
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if source and source.endswith(".py") and Path(source).parent == beside:
            yield Path(source)
