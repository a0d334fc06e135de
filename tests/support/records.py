"""Records of cells that never ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.record import Flops, Memory, Parameters, PhaseMemory, Record, Time
from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUITE = """
name: small
model: {config: tiny-bert, label: tiny}
tasks: [acceptability, rte]
methods: [full, {lora: {r: 8}}]
seeds: [0, 1]
"""


def eight_cells(folder: Path) -> list[Cell]:
    """Return the cells of two tasks, two methods and two seeds."""
    file = folder / "small.yaml"
    file.write_text(SUITE)
    return load_suite(file).cells()


def record(
    cell: Cell, score: float, peak: int = 2**20, seconds: float = 1.0, **rest: Any
) -> Record:
    """Return a record with every figure; `rest` replaces fields."""
    split = {"weights.base": peak // 2, "activations": peak // 4, "temporary": peak // 4}
    phase = PhaseMemory(first_step=0, steps=9, trainable=5, peak_allocated=peak, split=split,
                        peaks={}, saved_activations=1, at_rest=1)  # fmt: skip
    filled = {
        "key": cell.key, "path": cell.path, "suite": cell.suite, "outcome": "ok",
        "cell": cell.model_dump(mode="json"), "started": "", "seconds": 1.0,
        "main_metric": "accuracy", "main_score": score,
        "averaged_score": score, "reported": {"accuracy": score},
        "scores": {"dev": {"accuracy": score}},
        "parameters": Parameters(total=10, adapter_trainable=1_327_104, head_trainable=1538,
                                 adapter_stored=1_327_104, adapter_trainable_mean=1_327_104),
        "memory": Memory(meter="cpu-ledger", phases=[phase], peak_training=peak,
                         peak_step_mean=peak, peak_last_phase=peak, peak_evaluation=5),
        "flops": Flops(forward_macs=10**9, forward=2 * 10**9, step=1, training=3 * 10**12),
        "time": Time(step_median=seconds, step_p90=1, training=1, evaluation=1, metering=1,
                     total=1),
        "environment": {"cpu": "abacus", "cores": 2, "packages": {"torch": "2.13.0"}},
        "data": {"source": "embedded", "fingerprint": "f" * 64, "train_rows": 5, "notes": [],
                 "evaluation_rows": {"dev": 2}},
        "model": {"config": "tiny-bert"}, "steps": 130, "epochs": 1.0,
        "invocation": {"command": "headroom run small.yaml"},
    } | rest  # fmt: skip
    return Record.model_validate(filled)
