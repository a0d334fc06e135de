"""Two ranks with a batch each are one process with both, and each holds what was foreseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cells import EndsAfter, cell_of, rows
from parallel import alone, furthest, in_ranks, recorded, trained

from harness.suite.cell import Cell
from harness.training.checkpoint import Checkpoints
from harness.training.ranks import Ranks, RanksDiffer

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


@pytest.fixture(scope="module")
def aflora(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    folder = tmp_path_factory.mktemp("aflora")
    return cell_of(folder, AFLORA, *SETTINGS, "train.batch_size=4", "train.devices=2")


def test_two_ranks_go_on_with_the_same_bytes(tmp_path: Path, aflora: Cell) -> None:
    """Each with the random numbers of its own, of which dropout draws."""

    def run(ranks: Ranks, stop: int | None) -> Any:
        folder = tmp_path / f"checkpoint-{stop}"
        asked = stop is not None and ranks.is_first and not folder.exists()
        checkpoints = EndsAfter(folder, stop or 0) if asked else Checkpoints(folder, every=1e9)
        return trained(ranks, aflora, checkpoints, dropout=True)

    whole, _ = in_ranks(tmp_path, 2, run, None)
    assert in_ranks(tmp_path, 2, run, 5) == [None, None], "all ranks end where the first one does"
    first, second = in_ranks(tmp_path, 2, run, 5)
    assert first["resumed_at"] == second["resumed_at"] == [5]
    assert first["losses"] == whole["losses"]
    assert first["frozen_at"] == whole["frozen_at"]
    assert len(set(whole["frozen_at"].values())) > 1, "it goes on between two freezings"
    assert furthest(first["weights"], whole["weights"]) == 0
    assert furthest(second["weights"], whole["weights"]) == 0


def test_each_rank_holds_what_was_foreseen_of_it(tmp_path: Path) -> None:
    """Gradients twice: once more in the buckets that they are reduced in."""
    size = ("train.max_length=12", "train.batch_size=4", "train.devices=2")
    cell = cell_of(tmp_path, "{lora: {r: 4}}", rows(19, 6), *size)
    first, second = in_ranks(tmp_path, 2, recorded, cell)
    memory, forecast = first.memory, first.forecast
    assert memory is not None
    assert forecast is not None
    assert [one.rank for one in memory.ranks] == [0, 1]
    assert memory.ranks == second.memory.ranks
    assert memory.peak_training == max(one.training for one in memory.ranks)
    for one in memory.ranks:
        assert one.phases == [one.training]
        assert one.training == pytest.approx(one.forecast["training"], abs=8)
        assert one.evaluation == pytest.approx(one.forecast_evaluation, abs=8)
    trains = 4 * memory.phases[0].trainable
    assert memory.phases[0].split["gradients"] >= trains  # all buckets, when backward begins
    # Those of both ranks, as both tell.
    assert first.flops.training == sum(phase.flops for phase in memory.phases)
    assert first.flops.training == second.flops.training


def test_ranks_that_choose_differently_are_told_apart(tmp_path: Path) -> None:
    def differ(ranks: Ranks) -> list[str]:
        told = []
        for talk in (
            lambda: ranks.pulse(ranks.rank),
            lambda: ranks.agree("weights", [1.0, 2.0 + ranks.rank]),
        ):
            with pytest.raises(RanksDiffer) as error:
                talk()
            told.append(str(error.value))
        assert ranks.pulse(7, ranks.is_first, not ranks.is_first) == [True, False]
        ranks.agree("weights", [1.0, 2.0])
        assert ranks.mean(float(ranks.rank)) == 0.5
        return told

    first, second = in_ranks(tmp_path, 2, differ)
    assert first == second
    assert "other tensors train on one rank" in first[0]
    assert "the ranks differ in weights" in first[1]
