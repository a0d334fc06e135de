"""Methods that freeze, run by the loop: what they save, and what the record tells about it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cells import LORA, cell_of, rows, run, setup_of, silent, weights

from harness.cell import run_cell
from harness.record import Record
from harness.reporting.phases import phase_notes, phase_tables
from harness.training.loop import Loop

SETTINGS = (
    rows(32, 16), "train.padding=max", "train.epochs=8", "train.lr=5.0e-3",
    "train.weight_decay=0.1",
)  # fmt: skip
SAFE = f"over: {LORA}, max_warmup: 2, t_f: {{epochs: 4}}, probe: 16"


def test_a_threshold_of_0_is_the_base_method_bit_for_bit(tmp_path: Path) -> None:
    plain = run(cell_of(tmp_path, LORA, *SETTINGS))
    safe = run(cell_of(tmp_path, f"{{safe: {{{SAFE}, tau: 0.0}}}}", *SETTINGS))
    ours, theirs = weights(safe), weights(plain)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_frozen_from_the_start_it_is_the_upper_half(tmp_path: Path) -> None:
    """B is 0 at first, so frozen lower adapters are as good as absent ones."""
    whole = setup_of(cell_of(tmp_path, "{lora: {r: 4, targets: qv}}", *SETTINGS))
    half = setup_of(cell_of(tmp_path, "{lora: {r: 4, targets: qv, layers: upper-half}}", *SETTINGS))
    start = weights(whole)
    trained = [name for name, p in half.model.named_parameters() if p.requires_grad]
    for name in trained:
        half.model.get_parameter(name).data.copy_(start[name])
    for parameter in (p for unit in whole.handle.units()[:2] for p in unit):
        parameter.requires_grad_(False)
    for setup in (whole, half):
        torch.manual_seed(0)
        Loop(setup).run()
    ours, theirs = weights(whole), weights(half)
    assert len(trained) == 10
    assert all(torch.equal(ours[name], theirs[name]) for name in trained)


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("safe")
    cell = cell_of(folder, f"{{safe: {{{SAFE}, tau: {{quantile: 0.7}}}}}}", *SETTINGS)
    return run_cell(cell, silent)


def test_memory_falls_with_the_frozen_prefix(safe: Record) -> None:
    assert safe.memory is not None
    phases = safe.memory.phases
    assert len(phases) > 1
    saved = [phase.saved_activations for phase in phases]
    assert saved == sorted(saved, reverse=True)
    assert saved[-1] < 0.8 * saved[0]
    live = [phase.shallowest_live_layer or 0 for phase in phases]
    assert live == sorted(live)
    assert live[-1] == safe.method_state["shallowest_live_unit"] > 0
    assert safe.memory.peak_last_phase < safe.memory.peak_step_mean < safe.memory.peak_training
    assert phases[-1].split["optimizer"] < phases[0].split["optimizer"]
    assert (phases[-1].flops or 0) / phases[-1].steps < 0.9 * (phases[0].flops or 0) / 8


def test_the_forecast_has_the_stage_that_the_run_ended_in(safe: Record) -> None:
    assert safe.memory is not None
    stages = safe.forecast.stages
    assert list(stages) == ["warm-up", "25 % frozen", "50 % frozen", "75 % frozen",
                            "91.67 % frozen"]  # fmt: skip
    assert abs(stages["warm-up"].peak_allocated - safe.memory.peak_training) <= 64
    frozen = safe.method_state["shallowest_live_unit"]
    last = stages[f"{25 * frozen} % frozen"]
    assert abs(last.peak_allocated - safe.memory.peak_last_phase) <= 64


def test_the_record_tells_why(safe: Record) -> None:
    state = safe.method_state
    assert state["warm_up_ended"] == 2
    assert [len(values) for values in state["importance"].values()][:3] == [4, 4, 4]
    assert state["thresholds"]["2"] == 0.0
    assert state["thresholds"]["4"] == state["tau"], "the share's own, at T - t_f"
    assert len(state["frozen_at_epoch"]) == 3, "0.7 of 4 units"
    assert set(state["frozen_at_epoch"].values()) <= {3, 4}
    assert safe.shortfalls == []
    epoch, layers = 4, [name.split(".layer.")[1][0] for name in safe.frozen_at]
    assert layers == sorted(layers), "in the order of the model, without its head"
    assert len(layers) == 4 * 4
    for name, step in safe.frozen_at.items():
        unit = name.split(".layer.")[1][0]
        ended = state["frozen_at_epoch"].get(unit)
        assert step == (None if ended is None else ended * epoch), "32 rows, 8 a step"
    assert safe.memory is not None
    assert (safe.memory.peak_probe or 0) > 0
    assert safe.time is not None
    assert safe.time.probes > 0
    memory, work = phase_tables([safe])
    assert memory.texts[0][0] == work.texts[0][0] == safe.method
    peak = memory.texts[0][memory.headers.index("peak")]
    assert "→" in peak, "first and last phase"
    assert {"first peak (B)", "last peak (B)", "mean over steps (B)"} <= {*memory.figure_headers}
    assert "beside training" in phase_notes([safe])[0]


def test_a_run_that_froze_nothing_says_so_in_its_record(tmp_path: Path) -> None:
    method = f"{{safe: {{over: {LORA}, tau: {{quantile: 0.7}}, t_f: {{epochs: 4}}, probe: 16}}}}"
    record = run_cell(cell_of(tmp_path, method, *SETTINGS), silent)
    [sentence] = record.shortfalls
    assert "froze none of 4 units, not the 3 that quantile 0.7 promises" in sentence
    assert record.method_state["frozen_at_epoch"] == {}
    assert record.frozen_at == {}


def test_a_run_that_was_cut_off_fell_short_of_nothing(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{aflora: {r: 4, interval: 2}}", *SETTINGS, "train.lr=1.0e+9",
                   "train.clip=null")  # fmt: skip
    record = run_cell(cell, silent)
    assert record.outcome == "diverged"
    assert record.shortfalls == []


def test_aflora_ends_with_vectors_only(tmp_path: Path) -> None:
    record = run_cell(cell_of(tmp_path, "{aflora: {r: 4, interval: 2}}", *SETTINGS), silent)
    assert record.memory is not None
    assert record.parameters is not None
    first, last = record.memory.phases[0], record.memory.phases[-1]
    state = record.method_state
    assert len(state["frozen_at"]) == state["adaptive"] == 16
    froze = {name: step for name, step in record.frozen_at.items() if step is not None}
    assert froze == state["frozen_at"]
    assert len(record.frozen_at) > len(froze), "the vectors train to the end"
    assert record.parameters.adapter_trainable_mean == pytest.approx(
        state["mean_updated_parameters"]
    )
    assert all(phase.peak_allocated > 0 for phase in record.memory.phases)
    assert last.split["method"] < first.split["method"], "scores are dropped"
    assert last.split["optimizer"] < first.split["optimizer"]
    assert last.shallowest_live_layer == 0, "its vectors train in every layer to the end"
    stages = record.forecast.stages
    foreseen = stages["all projections frozen"].peak_allocated
    assert abs(foreseen - record.memory.peak_last_phase) <= 64


def test_adapterdrop_has_its_base_s_peak_and_less_work(tmp_path: Path) -> None:
    base = run_cell(cell_of(tmp_path, LORA, *SETTINGS), silent)
    record = run_cell(cell_of(tmp_path, f"{{adapterdrop: {{over: {LORA}}}}}", *SETTINGS), silent)
    assert record.memory is not None
    assert base.memory is not None
    assert record.memory.peak_training == pytest.approx(base.memory.peak_training, rel=0.01)
    assert record.flops is not None
    assert base.flops is not None
    share = (record.flops.training or 0) / (base.flops.training or 1)
    # Of 4 layers 1.5 are dropped on average; 32 draws spread around it.
    assert share == pytest.approx(1 - 1.5 / 8, abs=0.06)
    layers = record.method_state["layers_per_step"]
    assert share == pytest.approx(1 - (4 - layers) / 8, abs=0.05), "and the adapters' own work"
