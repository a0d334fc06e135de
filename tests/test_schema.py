"""The JSON Schema of a suite says what the loader says: no more is refused, no more accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from harness.errors import UserError
from harness.schema import app, suite_schema
from harness.suite.load import load_suite
from harness.suite.settings import TrainSettings
from harness.tasks import names as task_names
from harness.tasks.families import names as family_names
from harness.tasks.own.data import OwnData
from methods import get_method
from methods import names as method_names

SUITES = sorted(Path("suites").glob("*.yaml"))
BASE = {"name": "x", "model": {"config": "tiny-bert"}, "tasks": ["rte"], "methods": ["full"]}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return suite_schema()


def test_the_command_prints_the_schema(schema: dict[str, Any]) -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == schema
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("file", SUITES, ids=lambda file: file.stem)
def test_every_shipped_suite_is_valid(file: Path, schema: dict[str, Any]) -> None:
    found = Draft202012Validator(schema).iter_errors(yaml.safe_load(file.read_text()))
    assert [f"{error.json_path}: {error.message[:200]}" for error in found] == []


OWN = {"name": "x", "kind": "classification", "path": "a.csv", "eval": 0.1, "label": "category"}

SAID = [
    ({"tasks": [{"shape": {"family": "causal_lm", "length": 9}}]}, True),
    ({"tasks": [{"label": "neither name nor shape"}]}, False),
    ({"tasks": [{"name": "rte", "shape": {"family": "causal_lm", "length": 9}}]}, False),
    ({"tasks": [{"shape": {"family": "causal_lm", "length": 9}, "train_rows": 5}]}, False),
    ({"tasks": [{"shape": {"family": "causal_lm", "length": 9}, "epochs": 5}]}, True),
    ({"tasks": "rte"}, False),
    ({"tasks": [OWN]}, True),
    ({"tasks": [OWN | {"labels": [1, True, "x"], "metrics": ["accuracy", "m:f"]}]}, True),
    ({"tasks": [OWN | {"epochs": 5, "train_rows": 9, "config": "c", "revision": "r"}]}, True),
    ({"tasks": [{"name": "x", "data": {"kind": "regression", "path": "a.csv"}}]}, True),
    ({"tasks": [{"kind": "regression", "path": "a.csv"}]}, False),
    ({"tasks": [{"name": "x", "kind": "regression"}]}, False),
    ({"tasks": [{"name": "x", "path": "a.csv"}]}, False),
    ({"tasks": [OWN | {"kind": "clasification"}]}, False),
    ({"tasks": [OWN | {"text_column": "x"}]}, False),
    ({"tasks": [OWN | {"folder": "x"}]}, False),
    ({"tasks": [OWN | {"shape": {"family": "causal_lm", "length": 9}}]}, False),
    ({"tasks": [OWN | {"eval": 1.5}]}, False),
    ({"tasks": [OWN | {"labels": ["one"]}]}, False),
    ({"tasks": [OWN | {"metrics": []}]}, False),
    ({"methods": [{"full": None}]}, True),
    ({"methods": [{"name": "lora", "options": {"r": 3}, "label": "a"}]}, True),
    ({"methods": [{"name": "lora", "options": {"rank": 3}}]}, False),
    ({"methods": [{"lora": {"targets": ["query"]}}]}, True),
    ({"methods": [{"lora": {"targets": "sixx"}}]}, False),
    ({"methods": ["safe"]}, False),
    ({"methods": [{"adapterdrop": {"over": "lora"}}]}, True),
    ({"methods": [{"adapterdrop": {"over": {"lora": {"rank": 3}}}}]}, False),
    ({"methods": [{"peft": {"type": "loha", "r": 3}}]}, True),
    ({"methods": [{"peft": {"type": "LOHA", "rank": 3}}]}, False),
    ({"methods": [{"peft": {"type": "LOHAA"}}]}, False),
    ({"grid": {"lr": [0.1, 0.2], "padding": ["max"]}}, True),
    ({"grid": {"lr": 0.1}}, False),
    ({"grid": {"lr": ["high"]}}, False),
    ({"grid": {"lr": []}}, False),
    ({"grid": {"rate": [0.1]}}, False),
    ({"analyses": {"hessian": {"top": 3, "over": ["trainable"]}, "cka": None}}, True),
    ({"analyses": {}}, True),
    ({"analyses": None}, True),
    ({"analyses": ["cka"]}, False),
    ({"analyses": {"ckaa": {}}}, False),
    ({"analyses": {"cka": {"point": 3}}}, False),
    ({"analyses": {"hessian": {"over": []}}}, False),
    ({"analyses": {"landscape": {"points": 1}}}, False),
    ({"models": [{"config": "tiny-bert"}]}, False),
    ({"model": {"config": "tiny-bert", "hub": "a/b"}}, False),
]


@pytest.mark.parametrize(("said", "good"), SAID, ids=[str(said) for said, _ in SAID])
def test_schema_and_loader_agree(
    said: dict[str, Any], good: bool, schema: dict[str, Any], tmp_path: Path
) -> None:
    suite = BASE | said
    assert Draft202012Validator(schema).is_valid(suite) is good
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(suite))
    if good:
        assert load_suite(file).cells()
    else:
        with pytest.raises(UserError):
            load_suite(file)


def test_every_method_with_its_options(schema: dict[str, Any]) -> None:
    definitions = schema["$defs"]
    for name in method_names():
        options = definitions[f"Method.{name}"]["anyOf"][0]["properties"]
        assert set(options) == set(get_method(name).model_fields)
    named = definitions["MethodEntry"]["anyOf"][0]["enum"]
    assert set(method_names()) - set(named) == {"safe", "adapterdrop", "sparseadapter", "peft"}


def test_every_task_and_family_and_setting(schema: dict[str, Any]) -> None:
    definitions = schema["$defs"]
    short, long, flat, _ = definitions["TaskEntry"]["anyOf"]
    assert short == {"enum": task_names()}
    assert set(TrainSettings.model_fields) < set(long["properties"])
    assert set(TrainSettings.model_fields) == set(schema["properties"]["grid"]["properties"])
    assert definitions["Shape"]["properties"]["family"]["enum"] == family_names()
    assert {*OwnData.model_fields, *TrainSettings.model_fields} < set(flat["properties"])


def test_every_reference_has_its_definition(schema: dict[str, Any]) -> None:
    used = {part.split('"')[0] for part in json.dumps(schema).split("#/$defs/")[1:]}
    assert used <= set(schema["$defs"])
