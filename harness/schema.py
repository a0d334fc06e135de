"""`python -m harness.schema`: the JSON Schema of a suite, for editors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
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
    from harness.suite.settings import TrainSettings
    from harness.suite.suite import Suite
    from harness.tasks import families

    document = Suite.model_json_schema()
    definitions = document["$defs"]
    settings = TrainSettings.model_json_schema()["properties"]
    beside = {key: definitions["MethodEntry"]["properties"][key] for key in ("label", "train")}
    options = dict(_method_options())
    for each in options.values():
        definitions |= each.pop("$defs", {})
    entries = [
        {
            "type": "object",
            "properties": {name: each, **beside},
            "required": [name],
            "additionalProperties": False,
        }
        for name, each in options.items()
    ]
    definitions["MethodEntry"] = {"anyOf": [{"enum": list(options)}, *entries]}
    definitions["Shape"]["properties"]["family"]["enum"] = families.names()
    entry = definitions["TaskEntry"]
    entry["properties"] |= settings | {"name": {"enum": tasks.names()}}
    definitions["TaskEntry"] = {"anyOf": [{"enum": tasks.names()}, entry]}
    return document


def _method_options() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every method's name and the schema of its options; says which plug-ins are broken."""
    import methods

    for name in methods.names():
        try:
            yield name, methods.get_method(name).model_json_schema()
        except methods.PluginError as error:
            print(f"left out: {error}", file=sys.stderr)


if __name__ == "__main__":
    app()
