"""Plug-ins: methods, tasks, families and analyses of others, from packages or beside a suite.

An installed package names them as entry points of the groups `headroom.methods`, `headroom.tasks`,
`headroom.families` and `headroom.analyses`. A module that is asked for by name has dicts `METHODS`,
`TASKS`, `FAMILIES` and `ANALYSES`, from names to classes; one of them is enough.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import methods
from harness import analyses, tasks
from harness.errors import UserError
from harness.tasks import families
from methods.registry import PluginError, Registry

REGISTRIES = {
    "METHODS": methods.REGISTRY,
    "TASKS": tasks.REGISTRY,
    "FAMILIES": families.REGISTRY,
    "ANALYSES": analyses.REGISTRY,
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
        try:
            for registry, key, thing in _brought(name, module):
                registry.add(key, thing, f"{plugin.module} ({module.__file__})")
        except PluginError as error:
            raise UserError(f"--plugin {name}: {error}") from None
        _loaded.append(plugin)


def _brought(name: str, module: ModuleType) -> list[tuple[Registry, str, Any]]:
    there = {attribute: getattr(module, attribute, None) for attribute in REGISTRIES}
    for attribute, things in there.items():
        if things is not None and not isinstance(things, dict):
            raise UserError(
                f"--plugin {name}: {attribute} of {module.__file__} is {things!r}, no dict from "
                "names to classes"
            )
    brought = [
        (REGISTRIES[attribute], key, thing)
        for attribute, things in there.items()
        for key, thing in (things or {}).items()
    ]
    if not brought:
        raise UserError(f"--plugin {name}: {module.__file__} has none of {', '.join(REGISTRIES)}")
    return brought


def in_use() -> dict[str, str]:
    """Return the plug-ins' names that were asked for, and where each comes from."""
    return {
        f"{registry.kind} {name}": registry.entries[name].source
        for registry in REGISTRIES.values()
        for name in registry.used
    }


def fingerprint() -> list[str]:
    """Return hashes of the source of all plug-ins in use; empty where there are none.

    What was computed with other code is told by it: of a package all modules, of a module that
    lies beside others all of them, because what it imports is only known when it has run.
    """
    used = [thing for registry in REGISTRIES.values() for thing in registry.used.values()]
    tops = {thing.__module__.partition(".")[0] for thing in used}
    return [_hash_of(file) for file in sorted({file for top in tops for file in _sources(top)})]


@cache
def _hash_of(file: Path) -> str:
    # Once in a process: what runs is what was there when it began.
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _sources(name: str) -> list[Path]:
    """Return the source files that a top-level module may be made of."""
    module = sys.modules[name]
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    if folders:
        return [file for folder in folders for file in folder.rglob("*.py")]
    beside = Path(module.__file__ or "").parent
    if any(beside.glob("*.dist-info")):  # all that is installed lies here
        names = packages_distributions().get(name, [])
        files = [(distribution(n), file) for n in names for file in distribution(n).files or ()]
        ours = [Path(str(d.locate_file(f))) for d, f in files if f.suffix == ".py"]
        return [file for file in ours if file.is_file()] or list(beside.glob("*.py"))
    packages = [init.parent for init in beside.glob("*/__init__.py")]
    return [*beside.glob("*.py"), *(file for p in packages for file in p.rglob("*.py"))]


def _import(plugin: Plugin) -> ModuleType:
    top, _, rest = plugin.module.partition(".")
    files = [plugin.folder / top / "__init__.py", *([] if rest else [plugin.folder / f"{top}.py"])]
    try:
        for file in filter(Path.is_file, files):
            _import_file(top, file)
        return import_module(plugin.module)
    except ModuleNotFoundError as error:
        if not f"{plugin.module}.".startswith(f"{error.name}."):
            raise UserError(f"--plugin {plugin.module}: {error}") from None
        raise UserError(
            f"--plugin {plugin.module}: no such module, neither in {plugin.folder} nor installed"
        ) from None
    except UserError:
        raise
    except Exception as error:  # whatever foreign code does when it is imported
        raise UserError(f"--plugin {plugin.module}: {type(error).__name__}: {error}") from error


def _import_file(name: str, file: Path) -> None:
    """Import a module or package from this file, which `import_module` then finds."""
    there = sys.modules.get(name)
    if there is not None:
        if getattr(there, "__file__", None) != str(file):
            raise UserError(f"--plugin {name}: another module has this name; rename {file}")
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = file.parent.parent if file.name == "__init__.py" else file.parent
    sys.path.append(str(folder))  # for the modules that it imports from beside it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
