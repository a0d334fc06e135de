"""Recipes of torchtune, TRL and transformers are forecast to the end, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from written_recipes import written

from harness.forecast import app
from harness.models.catalogue import CATALOGUE


def forecast(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "--no-cache", "--workers", "1"])
    return int(str(ended.value.code))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with nothing but the config.json of a tiny Llama."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    entry = CATALOGUE["tiny-llama"]
    config = {**entry.config, "model_type": entry.model_type, "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize(
    ("trainer", "name"),
    [
        ("torchtune", "lora-on-one-gpu"),
        ("torchtune", "qlora-by-a-switch"),  # and DoRA, which reads the weights
        ("trl", "lora"),
        ("transformers", "kwargs-as-text"),
    ],
)
def test_a_recipe_is_forecast_to_the_end(
    trainer: str, name: str, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    recipe = write(tmp_path, written(trainer)[name].config)
    said = ("train.max_length=64", f"model={{path: {model}}}", "--json", str(out))
    assert forecast("--from", trainer, str(recipe), *said) == 0
    (entry,) = json.loads(out.read_text())
    assert entry["error"] is None
    assert entry["peak_allocated"] > entry["at_rest"] > 0
    assert entry["assumptions"]


def test_a_file_that_names_no_model_says_how_one_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write(tmp_path, written("transformers")["defaults"].config)
    assert forecast("--from", "transformers", str(recipe)) == 2
    assert "names no model; behind the file, model.config=NAME" in capsys.readouterr().err
