"""The JSON Schema of a suite names what a suite may say."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from harness.schema import app, suite_schema
from harness.suite.settings import TrainSettings
from harness.tasks import names as task_names
from harness.tasks.families import names as family_names
from methods import get_method
from methods import names as method_names


def test_the_command_prints_the_schema() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == suite_schema()


def test_every_method_with_its_options() -> None:
    short, *long = suite_schema()["$defs"]["MethodEntry"]["anyOf"]
    assert short == {"enum": method_names()}
    assert [entry["required"] for entry in long] == [[name] for name in method_names()]
    for entry, name in zip(long, method_names(), strict=True):
        options = entry["properties"][name]["properties"]
        assert set(options) == set(get_method(name).model_fields)
        assert set(entry["properties"]) == {name, "label", "train"}


def test_every_task_and_family_and_flat_settings() -> None:
    definitions = suite_schema()["$defs"]
    short, long = definitions["TaskEntry"]["anyOf"]
    assert short == {"enum": task_names()}
    assert set(TrainSettings.model_fields) < set(long["properties"])
    assert definitions["Shape"]["properties"]["family"]["enum"] == family_names()


def test_every_reference_has_its_definition() -> None:
    schema = suite_schema()
    text = json.dumps(schema)
    used = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert used <= set(schema["$defs"])
