"""What there is, by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.analyses import ANALYSES
from harness.ls import app
from harness.models.catalogue import CATALOGUE
from harness.tasks import TASKS
from harness.tasks.families import FAMILIES
from methods import METHODS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("methods", METHODS),
        ("tasks", TASKS),
        ("families", FAMILIES),
        ("models", CATALOGUE),
        ("analyses", ANALYSES),
    ],
)
def test_everything_is_listed_with_a_word_on_it(what: str, names: dict[str, object]) -> None:
    done = CliRunner().invoke(app, [what])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert {line.split()[0] for line in lines} == set(names)
    assert all(len(line.split()) > 1 for line in lines)
    assert "broken" not in done.output


def test_a_model_is_listed_with_its_source_and_its_size() -> None:
    lines = CliRunner().invoke(app, ["models"]).output.splitlines()
    [qwen] = [line for line in lines if line.startswith("qwen3-30b-a3b ")]
    assert "qwen3_moe, Qwen/Qwen3-30B-A3B, 30,532,122,624 parameters" in qwen
    [opt] = [line for line in lines if line.startswith("opt-6.7b ")]
    assert "(not looked up)" in opt
    [phi] = [line for line in lines if line.startswith("phi-3.5-mini ")]
    assert "not longrope" in phi


def test_sets_of_targets_say_what_they_are_on_each_family() -> None:
    lines = CliRunner().invoke(app, ["targets"]).output.splitlines()
    [six] = [line for line in lines if line.startswith("llama six ")]
    assert "mlp.up_proj, mlp.down_proj  (leaves out mlp.gate_proj" in six
    [qv] = [line for line in lines if line.startswith("gpt2 qv ")]
    assert "it is taken apart for it" in qv
    methods = CliRunner().invoke(app, ["methods"]).output.splitlines()
    [lora] = [line for line in methods if line.startswith("lora ")]
    assert "targets='six' (see ls targets)" in lora


def test_suites_are_counted() -> None:
    done = CliRunner().invoke(app, ["suites", "--folder", str(ROOT / "suites")])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == len(list((ROOT / "suites").glob("*.yaml")))
    [quick] = [line for line in done.output.splitlines() if "quick.yaml" in line]
    assert "6 cells" in quick


def test_cards_to_forecast_for_are_listed() -> None:
    done = CliRunner().invoke(app, ["gpus"])
    assert "rtx4090" in done.output
    assert "to forecast for" in done.output


def test_an_empty_list_says_so(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["suites", "--folder", str(tmp_path)]).output == "no suites\n"


def test_options_of_their_own_stand_first() -> None:
    [lora] = [
        line for line in CliRunner().invoke(app, ["methods"]).output.splitlines()
        if line.startswith("lora ")
    ]  # fmt: skip
    assert lora.endswith(
        "[r=8, alpha=16, init='lora', dropout=0.0, targets='six' (see ls targets), layers='all']"
    )
