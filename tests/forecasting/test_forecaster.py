"""Asking for forecasts: once per distinct step, per card, by command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from asked import request
from bare import SUITE, cells

from harness.errors import UserError
from harness.forecasting import forecaster as forecaster_module
from harness.forecasting.cards import CARDS, Card, find_card
from harness.forecasting.cells import fit_of, forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.requests import shapes_without_data
from harness.gpus import installed
from harness.models.spec import ModelSpec
from harness.reporting.forecasts import forecast_notes, forecast_table
from harness.simulation.step_forecast import Need, StepForecast
from harness.suite import preflight


def test_cells_that_differ_in_seed_and_rate_share_a_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    real = forecaster_module.run_forked
    monkeypatch.setattr(
        forecaster_module,
        "run_forked",
        lambda tasks, workers: done.append(len(tasks)) or real(tasks, workers),
    )
    cache = tmp_path / "cache"
    found = forecast_cells(
        Forecaster(cache, 1), cells(tmp_path), [CARDS["rtx4090"], CARDS["a6000"]]
    )
    assert done == [2]  # full and lora, for both seeds and both cards
    assert len(found) == 8
    assert len({entry.peak_allocated for entry in found}) == 2
    again = forecast_cells(Forecaster(cache, 1), cells(tmp_path, "train.lr=7"), [CARDS["l4"]])
    assert done == [2]
    assert again[0].peak_allocated == found[0].peak_allocated


def test_what_options_mean_on_a_model_is_told_with_the_forecast(tmp_path: Path) -> None:
    llama = cells(tmp_path, "model.config=tiny-llama", "methods=[lora, sora]", "seeds=[0]")
    found = forecast_cells(Forecaster(tmp_path / "cache", 1), llama, [CARDS["l4"]])
    said = "targets six leaves out mlp.gate_proj here; all-linear has it"
    assert {text for entry in found for text in entry.remarks} == {said}, "nothing of its length"
    assert f"lora-r8 on tiny-llama: {said}." in forecast_notes(found)


def test_the_footer_names_what_moves_memory_and_no_choice_of_a_cell_that_failed(
    tmp_path: Path,
) -> None:
    shape = "tasks=[{shape: {family: causal_lm, batch_size: 2, length: 8}}]"
    axes = "grid={outputs: [dropped, kept], empty_cache_steps: [null, 2]}"
    asked = cells(tmp_path, shape, axes, "model.config=tiny-llama", "methods=[lora]", "seeds=[0]",
                  "train.clip=null", "train.label_smoothing=0.1")  # fmt: skip
    assert "/empty_cache_steps=null/" in asked[0].path
    found = forecast_cells(Forecaster(tmp_path / "cache", 1), asked, [CARDS["l4"]])
    unchosen = {"attention": "auto", "outputs": "step"}
    failed = found[0].model_copy(update={"error": "none", "choices": unchosen})
    footer = forecast_notes([failed, *found])[1]
    moved = "clip null, outputs dropped/kept, empty_cache_steps null/2, label_smoothing 0.1"
    assert all(part in footer for part in moved.split(", "))
    assert "attention sdpa," in footer
    assert "momentum" not in footer


def test_a_method_that_does_not_fit_the_epochs_is_its_own_cells_error(tmp_path: Path) -> None:
    methods = "methods=[{safe: {over: lora, tau: 0.1}}, lora, {peft: {type: lora}}]"
    shape = "tasks=[{shape: {family: classification, length: 8}}]"
    asked = cells(tmp_path, shape, methods, "model.config=modernbert-base", "seeds=[0]")
    found = forecast_cells(Forecaster(tmp_path / "cache", 1), asked, [CARDS["l4"]])
    refused, good, targetless = found
    assert refused.error is not None
    assert refused.error.startswith("safe freezes from epoch 3 at the earliest")
    assert good.error is None
    assert str(targetless.error).startswith("peft type LORA: peft has no default target_modules")
    assert not forecast_notes([refused])[1].startswith("capability")
    assert forecast_table(found).rows


def test_key_moves_with_what_memory_depends_on_and_with_nothing_else() -> None:
    key = request("tiny-bert").key()
    assert request("tiny-bert", lr=0.5, epochs=9, weight_decay=0.0).key() == key
    assert request("tiny-bert", betas=(0.9, 0.98), eps=1e-6).key() == key
    others = [
        request("tiny-roberta"), request("tiny-bert", "full"), request("tiny-bert", mask=False),
        request("tiny-bert", steps=((4, 33),)), request("tiny-bert", precision="bf16"),
        request("tiny-bert", clip=None), request("tiny-bert", outputs="kept"),
        request("tiny-bert", options={"r": 9}), request("tiny-bert", accumulate=2),
    ]  # fmt: skip
    assert len({key, *(other.key() for other in others)}) == 1 + len(others)


def test_key_of_a_local_model_follows_its_config(tmp_path: Path) -> None:
    asked = request("tiny-bert").model_copy(update={"model": ModelSpec(path=str(tmp_path))})
    keys = set()
    for layers in (2, 3, 2):
        config = {"model_type": "bert", "num_hidden_layers": layers}
        (tmp_path / "config.json").write_text(json.dumps(config))
        keys.add(asked.key())
    assert len(keys) == 2


def test_lengths_of_a_shape_are_the_steps(tmp_path: Path) -> None:
    varied = cells(tmp_path, "tasks=[{shape: {family: classification, lengths: [20, 48, 30]}}]")
    [shapes] = {shapes_without_data(cell) for cell in varied}
    assert [shape.brief for shape in shapes.steps] == [(32, 20), (32, 48), (32, 30)]
    found = forecast_cells(Forecaster(None, 2), varied[:1], [CARDS["l4"]])
    longest = cells(tmp_path, "tasks=[{shape: {family: classification, length: 48}}]")
    alone = forecast_cells(Forecaster(None, 2), longest[:1], [CARDS["l4"]])
    assert found[0].task == "classification-48"
    assert found[0].peak_allocated == pytest.approx(alone[0].peak_allocated, rel=0.01)


def test_cards_that_choose_other_kernels_have_rows_of_their_own(tmp_path: Path) -> None:
    task = "tasks=[{shape: {family: classification, length: 64, mask: false}}]"
    half = "train.precision=bf16-weights"
    chosen = cells(tmp_path, "methods=[lora]", "seeds=[0]", half, task)
    names = ("rtx4090", "a6000", "t4")
    found = forecast_cells(Forecaster(None, 2), chosen, [CARDS[name] for name in names])
    table = forecast_table(found)
    assert table.headers[-3:] == list(names)
    assert [row[-1] == "-" for row in table.texts] == [True, False]  # no bf16 kernels on a T4


def test_what_fits() -> None:
    card = Card("card", 1000, (8, 6), 100)
    facts = {name: 0 for name in ("peak_allocated", "peak_expandable", "num_segments", "at_rest",
                                  "saved_activations", "flops_forward", "flops_step")}  # fmt: skip

    def step(reserved: int, passes: dict[int, bool]) -> StepForecast:
        need = Need(allocated=0, reserved=reserved, expandable=0)
        return StepForecast(**facts, peak_reserved=0, peak_mark="", split={}, peaks={},
                       parameters={}, holds=[], modules={}, passes=passes,
                       needs={"evaluation": need})  # fmt: skip

    assert fit_of(step(870, {}), card) == "fits"
    assert fit_of(step(871, {}), card) == "tight"
    assert fit_of(step(950, {900: True}), card) == "tight"
    assert fit_of(step(950, {900: False}), card) == "does not fit"


@pytest.mark.parametrize("text", ["rtx5000", "custom:12", "custom:x:8.6", "custom:11:8"])
def test_unknown_card_is_named(text: str) -> None:
    with pytest.raises(UserError, match=text):
        find_card(text)


def test_custom_card() -> None:
    card = find_card("custom:11.5:8.6")
    assert (card.capability, card.usable) == ((8, 6), round(11.5 * 2**30))


FIELDS = {
    "cell", "method", "model", "task", "gpu", "peak_allocated", "peak_reserved", "at_rest",
    "device", "fits", "split", "stage", "adapter_trainable", "head_trainable", "total_parameters",
    "flops_forward", "flops_step", "seconds",
}  # fmt: skip


def test_command(tmp_path: Path) -> None:
    file = tmp_path / "shapes.yaml"
    file.write_text(SUITE)
    out = tmp_path / "deep" / "rows.json"
    command = [sys.executable, "-m", "harness.forecast", str(file), "--gpu", "rtx4090,t4",
               "--json", str(out), "seeds=[0]"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert len(rows) == 4
    assert set(rows[0]) >= FIELDS
    assert all(isinstance(row["peak_allocated"], int) for row in rows)
    assert "fits" in done.stdout


@pytest.mark.skipif(bool(installed()), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--native"], "no NVIDIA GPU"), (["--gpu", "rtx409"], "rtx4090"), (["--gpu", ","], "card"),
     (["--explain", "*"], "matches 4 cells"), (["--only", "nothing"], "matches none")],
)  # fmt: skip
def test_wrong_commands_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = tmp_path / "shapes.yaml"
    file.write_text(SUITE)
    command = [sys.executable, "-m", "harness.forecast", str(file), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shape_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classification-48 is a shape.*harness\.forecast"):
        preflight.check_cells(cells(tmp_path))


def test_a_cell_that_cannot_be_forecast_is_an_error_and_not_a_guess(
    tmp_path: Path, unknown: str
) -> None:
    chosen = cells(tmp_path, f"methods=[{unknown}, lora]", "seeds=[0]")
    found = forecast_cells(Forecaster(None, 1), chosen, [CARDS["l4"]])
    assert found[0].peak_allocated is None
    assert "answers.py" in (found[0].error or "")
    assert found[1].error is None


def test_a_card_without_what_the_settings_want_says_so(tmp_path: Path) -> None:
    names = ("t4", "v100-16", "a100-40")
    cards = [CARDS[name] for name in names]
    lacking = {"bf16-weights": ["bf16"], "bf16": ["bf16"], "tf32": ["tf32"], "fp16": []}
    asked = {
        precision: cells(tmp_path, "methods=[lora]", "seeds=[0]", f"train.precision={precision}")
        for precision in lacking
    }
    for precision, lacks in lacking.items():
        train = asked[precision][0].train
        assert [card.lacks(train) for card in cards] == [lacks, lacks, []]
        flash = train.model_copy(update={"attention": "flash_attention_2"})
        assert CARDS["t4"].lacks(flash) == [*lacks, "flash attention"]
    found = forecast_cells(Forecaster(None, 2), asked["bf16"], cards)
    assert [entry.lacks for entry in found] == [["bf16"], ["bf16"], []]
    [*_, last] = forecast_table(found[:1]).texts[0]
    assert last.startswith("fits +")
    assert last.endswith(", no bf16")
