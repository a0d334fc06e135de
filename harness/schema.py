"""`python -m harness.schema`: the JSON Schema of a suite, for editors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.command import Plugins, command, new_app

app = new_app()


@command(app)
def schema(plugin: Plugins = None) -> None:
    """Print the JSON Schema of suite files; point your editor's YAML plug-in at it."""
    from harness.plugins import load_plugins

    load_plugins(plugin or [], Path.cwd())
    print(json.dumps(suite_schema(), indent=2))


def suite_schema() -> dict[str, Any]:
    """Return the schema of the file format: the model's, with the short spellings it accepts."""
    from harness import tasks
    from harness.models.spec import SOURCES
    from harness.suite import reproduces
    from harness.suite.entries import DATA_KEYS
    from harness.suite.grid import GridLists
    from harness.suite.settings import TrainSettings
    from harness.suite.suite import Suite
    from harness.tasks import families

    document = Suite.model_json_schema()
    definitions = document["$defs"]
    settings = TrainSettings.model_json_schema()["properties"]
    grid = GridLists.model_json_schema()
    for field in grid["properties"].values():
        field.pop("default")
    document["properties"]["grid"] = grid
    document["properties"]["extends"] = {
        "type": "string",
        "description": "a suite's file beside this one, over which this one is laid",
    }
    said = document["properties"]["published"]["description"]
    document["properties"]["published"] = {"description": said, **reproduces.schema()}
    document["properties"]["model"] = {"$ref": "#/$defs/ModelEntry"}
    needed = [key for key in document.pop("required") if key != "name"]
    document["required"] = ["name"]
    # Laid over another suite, a bare name may be a label of that one.
    entries = {key: document["properties"][key] for key in ("methods", "tasks")}
    whole = {"required": needed, "oneOf": _one_of("model", "models"), "properties": entries}
    for key, entry in entries.items():
        named = {**entry, "items": {"anyOf": [entry["items"], {"type": "string"}]}}
        document["properties"][key] = named
    document["anyOf"] = [{"required": ["extends"]}, whole]
    definitions["ModelEntry"]["oneOf"] = _one_of(*SOURCES)
    definitions["Shape"]["properties"]["family"]["enum"] = families.names()
    entry = definitions["TaskEntry"]
    entry["properties"] |= settings
    own = _own_data(entry, definitions["OwnData"])
    entry["properties"] |= {"name": {"enum": tasks.names()}}
    del entry["properties"]["data"]
    del entry["required"]  # a shape has a name of its own
    entry["oneOf"] = _one_of("name", "shape")
    entry["dependentSchemas"] = {"shape": {"properties": dict.fromkeys(DATA_KEYS, False)}}
    definitions["TaskEntry"] = {"anyOf": [{"enum": tasks.names()}, entry, *own]}
    _add_methods(definitions)
    document["properties"]["analyses"] = _analyses()
    return document


def _analyses() -> dict[str, Any]:
    """Return the mapping of analyses to their options; options may be left out."""
    from harness import analyses

    options = _options_of(analyses.names(), analyses.get_analysis)
    return {
        "type": ["object", "null"],
        "description": "what else is asked of every run",
        "properties": {name: {"anyOf": [each, {"type": "null"}]} for name, each in options},
        "additionalProperties": False,
    }


def _own_data(entry: dict[str, Any], data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a task of own data, with its keys flat and under `data`."""
    from harness.tasks.own.kinds import KINDS

    data["properties"]["kind"]["enum"] = list(KINDS)
    shared = {
        key: value
        for key, value in entry["properties"].items()
        if key not in {"data", "shape", "label", "folder"} and not key.endswith("_column")
    }
    flat = shared | data["properties"]
    del shared["eval"]
    long = shared | {key: entry["properties"][key] for key in ("data", "label")}
    kind = {"type": "object", "additionalProperties": False}
    return [
        kind | {"properties": flat, "required": ["name", *data["required"]]},
        kind | {"properties": long, "required": ["name", "data"]},
    ]


def _one_of(*keys: str) -> list[dict[str, Any]]:
    return [{"required": [key]} for key in keys]


def _add_methods(definitions: dict[str, Any]) -> None:
    """Define every method's options, a method by name, and a suite's entry with label and train."""
    import methods

    fields = definitions["MethodEntry"]["properties"]
    beside = {key: fields[key] for key in ("label", "train")}
    options = dict(_options_of(methods.names(), methods.get_method))
    for name, each in options.items():
        definitions |= each.pop("$defs", {})
        if "over" in each["properties"]:
            each["properties"]["over"] = {"$ref": "#/$defs/Method"}
        bare = [] if each.get("required") else [{"type": "null"}]
        definitions[f"Method.{name}"] = {"anyOf": [each, *bare]}
    named = {"enum": [name for name, each in options.items() if not each.get("required")]}
    one = {name: {"$ref": f"#/$defs/Method.{name}"} for name in options}
    definitions["Method"] = {"anyOf": [named, *(_entry({name: of}) for name, of in one.items())]}
    short = (_entry({name: of}, beside) for name, of in one.items())
    long = (
        _entry({"name": {"const": name}}, {"options": of, **beside}) for name, of in one.items()
    )
    definitions["MethodEntry"] = {"anyOf": [named, *short, *long]}


def _entry(needed: dict[str, Any], beside: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**needed, **(beside or {})},
        "required": list(needed),
        "additionalProperties": False,
    }


def _options_of(
    names: Iterable[str], get: Callable[[str], Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each name and the schema of its options; says which plug-ins are broken."""
    from methods import PluginError

    for name in names:
        try:
            yield name, get(name).model_json_schema()
        except PluginError as error:
            print(f"left out: {error}", file=sys.stderr)


if __name__ == "__main__":
    app()
