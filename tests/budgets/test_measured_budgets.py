"""Budgets of measured runs: per device, with a tolerance per metric."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from budgeted import invoke
from records import eight_cells, record

from harness.budgets.file import read_budget
from harness.record import Memory, PhaseMemory
from harness.store import Store

H100, L4 = "NVIDIA H100 80GB HBM3", "NVIDIA L4"
MIB = 2**20
VERSIONS = {"torch": "2.13.0+cu130", "transformers": "5.24.0", "peft": "0.21.2"}


def gpu(name: str) -> dict[str, Any]:
    return {"name": name, "memory": 2**34, "capability": "9.0", "count": 1, "cuda": "13.0"}


def memory(**of_phase: Any) -> Memory:
    holders = [{"category": "activations", "path": "encoder.layer.0.attention", "op": "aten::mm",
                "num_bytes": of_phase["split"]["activations"], "num_blocks": 1}]  # fmt: skip
    phase = PhaseMemory(first_step=0, steps=9, trainable=5, peaks={}, saved_activations=1,
                        at_rest=1, holders=holders, **of_phase)  # fmt: skip
    peak = phase.peak_allocated
    return Memory(meter="cuda", phases=[phase], peak_training=peak, peak_step_mean=peak,
                  peak_last_phase=peak)  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a run of eight cells on a device."""
    cells = eight_cells(tmp_path)

    def write(
        folder: str, card: str, *, seconds: float = 1.0, torch: str = "2.13.0", **sizes: int
    ) -> Path:
        activations = sizes.pop("activations", 60 * MIB)
        held = {"peak_allocated": 100 * MIB, "peak_reserved": 200 * MIB, "peak_device": 700 * MIB}
        split = {"weights.base": 40 * MIB, "activations": activations}
        store = Store(tmp_path / folder)
        store.write_manifest({"name": "small"}, cells)
        for cell in cells:
            store.write(cell, record(
                cell, 0.5, seconds=seconds, memory=memory(split=split, **{**held, **sizes}),
                environment={"gpu": gpu(card), "packages": {**VERSIONS, "torch": torch}},
            ))  # fmt: skip
        return store.folder

    return write


def test_each_metric_moves_as_far_as_it_may(
    tmp_path: Path, runs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    budget = ("--budget", tmp_path / "measured.yaml")
    limits = ("device=0.1", "activations=0.04", "step=0.2")
    told = [word for limit in limits for word in ("--tolerance", limit)]
    assert invoke("update", runs("a", H100), *budget, "--reason", "first", *told)[0] == 0
    file = read_budget(tmp_path / "measured.yaml")
    assert file.tolerance == {
        "peak": 0.02, "reserved": 0.05, "device": 0.1, "activations": 0.04, "step": 0.2,
    }  # fmt: skip
    assert file.cards == {H100: {**VERSIONS, "torch": "2.13.0"}}
    for number, (moved, code, said) in enumerate([
        ({}, 0, "8 within"),
        ({"peak_allocated": 102 * MIB, "peak_reserved": 210 * MIB, "seconds": 1.19}, 0, "8 within"),
        ({"peak_allocated": 103 * MIB}, 1, "peak 103.0 MiB, budget 100.0 MiB: +3.0 MiB"),
        ({"peak_reserved": 211 * MIB}, 1, "reserved 211.0 MiB, budget 200.0 MiB"),
        ({"peak_device": 771 * MIB}, 1, "device 771.0 MiB, budget 700.0 MiB"),
        ({"activations": 63 * MIB}, 1, "activations of encoder.layer.*.attention grew most"),
        ({"seconds": 1.21}, 1, "step 1,210 ms, budget 1,000 ms (+21.0 %, may move by 20 %)"),
    ]):  # fmt: skip
        code_now, text = invoke("check", runs(f"b{number}", H100, **moved), *budget)
        assert (code_now, said in text) == (code, True), text


def test_each_device_has_its_own_budgets_and_versions(
    tmp_path: Path, runs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    budget = ("--budget", tmp_path / "measured.yaml")
    assert invoke("update", runs("a", H100), *budget, "--reason", "first")[0] == 0
    code, told = invoke("check", runs("b", L4), *budget)
    assert (code, "8 new" in told, "0 within" in told) == (3, True, True), "nothing is compared"
    small = {"peak_allocated": 50 * MIB, "torch": "2.12.0"}
    assert invoke("update", runs("c", L4, **small), *budget, "--reason", "and L4")[0] == 0
    file = read_budget(tmp_path / "measured.yaml")
    assert {card: named["torch"] for card, named in file.cards.items()} == {
        H100: "2.13.0", L4: "2.12.0",
    }  # fmt: skip
    assert {row.reason for at, row in file.spots.items() if at.card == H100} == {"first"}
    assert invoke("check", runs("d", H100), *budget)[0] == 0
    assert invoke("check", runs("e", L4, **small), *budget)[0] == 0
    code, told = invoke("check", runs("f", L4, peak_allocated=60 * MIB), *budget)
    assert code == 1, "measured with other versions, the file judges all the same"
    assert "versions: torch 2.12.0 (file) -> 2.13.0 (here)" in told


def test_a_forecast_is_not_held_against_a_measurement(
    tmp_path: Path, runs: Callable[..., Path]
) -> None:
    budget = ("--budget", tmp_path / "measured.yaml")
    assert invoke("update", runs("a", H100), *budget, "--reason", "first")[0] == 0
    code, told = invoke("check", tmp_path / "small.yaml", *budget)
    assert (code, "the budget holds measured figures; these are forecast ones" in told) == (2, True)
    code, told = invoke("update", runs("a", H100), *budget, "--reason", "x", "--time")
    assert (code, "--tolerance step=SHARE holds them" in told) == (2, True)
