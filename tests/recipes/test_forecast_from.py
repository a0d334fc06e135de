"""`headroom forecast --from TRAINER FILE`: the figures of the suite, and all that is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.forecast import app
from harness.models.catalogue import CATALOGUE

AXOLOTL = """
base_model: {model}
adapter: lora
lora_r: 4
lora_alpha: 8
lora_target_linear: true
lora_dropot: 0.1
sequence_len: 64
micro_batch_size: 2
bf16: auto
optimizer: adamw_torch
gradient_checkpointing: true
gradient_checkpointing_kwargs: {{use_reentrant: false}}
datasets: [{{path: a, type: alpaca}}]
"""


def forecast(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "--no-cache", "--workers", "1"])
    return int(str(ended.value.code))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An axolotl config of a model in a folder with nothing but its config.json."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    entry = CATALOGUE["tiny-llama"]
    config = {**entry.config, "model_type": entry.model_type, "num_hidden_layers": 2}
    (folder / "config.json").write_text(json.dumps(config))
    path = tmp_path / "config.yml"
    path.write_text(AXOLOTL.format(model=folder))
    return path


def test_the_suite_that_it_became_has_the_same_forecast(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, ours, theirs = tmp_path / "suite.yaml", tmp_path / "a.json", tmp_path / "b.json"
    assert forecast("--from", "axolotl", str(file), "--suite-out", str(suite),
                    "--json", str(ours)) == 0  # fmt: skip
    told = " ".join(capsys.readouterr().out.split())
    assert "bf16: auto is bf16 on the card" in told
    assert "no key lora_dropot (line 7; did you mean 'lora_dropout'" in told
    assert "lora_*_kernel are on by themselves" in told
    assert forecast(str(suite), "--json", str(theirs)) == 0
    (one,), (other,) = (json.loads(path.read_text()) for path in (ours, theirs))
    assert one["error"] is None
    assert one["peak_allocated"] == other["peak_allocated"] > 0
    assert one["choices"] == other["choices"]
    assert any("sequence_len" in text for text in one["assumptions"])
    assert len(one["differs"]) == 2
    assert "differs" not in other


def test_keys_of_the_suite_come_behind_the_file(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    arguments = ("train.max_length=32", "train.weights=fp32", "--json", str(out))
    assert forecast("--from", "axolotl", str(file), *arguments) == 0
    (entry,) = json.loads(out.read_text())
    assert entry["steps"][0][:2] == [2, 32]
    assert entry["choices"]["precision"] == "bf16"  # autocast over fp32 weights


def test_an_explanation_says_it_too(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each change is a forecast more; what is said of the file needs none of them.
    monkeypatch.setattr("harness.forecasting.explain.changes_of", lambda request: [])
    assert forecast("--from", "axolotl", str(file), "--explain", "*") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Not as in the file: axolotl has no key lora_dropot" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite-out", "out.yaml"], "--suite-out writes what a trainer's file became"),
        (["--from", "axolot"], "--from axolot: no such trainer; did you mean 'axolotl'"),
        (["--from", "axolotl", "--gpu", "t4,a100-80"], "bf16: auto is bf16 on some of the cards"),
    ],
)
def test_what_the_command_refuses(
    file: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert forecast(str(file), *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.yaml").exists()


def test_a_model_that_nothing_here_knows_is_refused_with_what_helps(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = file.parent / "tiny"
    file.write_text(AXOLOTL.format(model="someone/Llama-3.2-1BB"))
    assert forecast("--from", "axolotl", str(file)) == 2
    told = capsys.readouterr().err
    assert "someone/Llama-3.2-1BB is not in the catalogue" in told
    assert "model.path=FOLDER" in told
    file.write_text(AXOLOTL.format(model="./out/merged"))
    assert forecast("--from", "axolotl", str(file)) == 2
    assert "the model ./out/merged is no folder with a config.json" in capsys.readouterr().err
    assert forecast("--from", "axolotl", str(file), f"model.path={folder}") == 0


def test_a_trainer_s_file_taken_for_a_suite_is_told(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert forecast(str(file)) == 2
    assert "base_model: another trainer's file? --from axolotl" in capsys.readouterr().err
