"""`python -m harness.schema`: the JSON Schema of a suite, for editors."""

from __future__ import annotations

import json
from typing import Any

from harness.command import command, new_app

app = new_app()


@command(app)
def schema() -> None:
    """Print the JSON Schema of suite files; point your editor's YAML plug-in at it."""
    print(json.dumps(suite_schema(), indent=2))


def suite_schema() -> dict[str, Any]:
    """Return the schema of the file format: the model's, with the short spellings it accepts."""
    import methods
    from harness import tasks
    from harness.suite.settings import TrainSettings
    from harness.suite.suite import Suite

    found = Suite.model_json_schema()
    definitions = found["$defs"]
    settings = TrainSettings.model_json_schema()["properties"]
    beside = {key: definitions["MethodEntry"]["properties"][key] for key in ("label", "train")}
    shapes: list[dict[str, Any]] = [{"enum": methods.names()}]
    for name in methods.names():
        options = methods.get_method(name).model_json_schema()
        definitions |= options.pop("$defs", {})
        shapes.append(
            {
                "type": "object",
                "properties": {name: options, **beside},
                "required": [name],
                "additionalProperties": False,
            }
        )
    definitions["MethodEntry"] = {"anyOf": shapes}
    entry = definitions["TaskEntry"]
    entry["properties"] |= settings | {"name": {"enum": tasks.names()}}
    definitions["TaskEntry"] = {"anyOf": [{"enum": tasks.names()}, entry]}
    return found


if __name__ == "__main__":
    app()
