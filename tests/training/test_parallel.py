"""Two ranks with a batch each are one process with both, and each holds what was foreseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import cell_of, rows
from parallel import alone, furthest, in_ranks, trained

# 19 examples: the last step of an epoch has three, which two ranks share unevenly.
SETTINGS = (
    rows(19, 6), "train.epochs=3", "train.max_length=12", "train.lr=5.0e-3",
    "train.evaluate=epoch", "train.weight_decay=0.1",
)  # fmt: skip
SAFE = (
    "{safe: {over: {lora: {r: 4}}, tau: {quantile: 0.6}, max_warmup: 1, t_f: {epochs: 1}, "
    "probe: 8}}"
)
AFLORA = "{aflora: {r: 4, t_i: {fraction: 0.2}, t_f: {fraction: 0.2}, interval: 2}}"
ADALORA = "{adalora: {init_r: 6, target_r: 3, tinit: {fraction: 0.1}, tfinal: {fraction: 0.2}}}"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("{lora: {r: 4}}", ["train.accumulate=2", "train.length_grouping=true"]),
        (SAFE, []),
        (AFLORA, []),
        (ADALORA, []),
    ],
    ids=["lora", "safe", "aflora", "adalora"],
)
def test_two_ranks_are_one_process_with_the_double_batch(
    tmp_path: Path, method: str, more: list[str]
) -> None:
    one = alone(cell_of(tmp_path, method, *SETTINGS, *more, "train.batch_size=8"))
    cell = cell_of(tmp_path, method, *SETTINGS, *more, "train.batch_size=4", "train.devices=2")
    first, second = in_ranks(tmp_path, 2, trained, cell)
    assert first["losses"] == second["losses"]
    assert first["losses"] == pytest.approx(one["losses"], abs=1e-5)
    assert furthest(first["weights"], second["weights"]) == 0
    assert furthest(first["weights"], one["weights"]) < 1e-4
    for key in ("steps", "frozen_at", "scores"):
        assert first[key] == second[key] == one[key], key
    print(
        method,
        max(abs(a - b) for a, b in zip(first["losses"], one["losses"], strict=True)),
        furthest(first["weights"], one["weights"]),
        one["losses"],
        one["frozen_at"],
    )
