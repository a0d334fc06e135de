"""LoRAPrune in runs: optimizer state, checkpoints, and forecasts of what compaction leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from asked import request
from cells import RESUMED, EndsAfter, cell_of, same
from cells import run as run_cell
from prunable import FAST, PLAN, attach, drive, gone, inputs, logits, sgd
from torch import Tensor

from harness.metering.flops import StepFlops
from harness.simulation.fake import fake_run
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted
from harness.training.optim import apply_change
from methods.base import Stage
from methods.loraprune.handle import LoraPruneHandle
from methods.loraprune.method import LoraPrune


def test_what_is_kept_keeps_its_optimizer_state() -> None:
    handle = attach(**FAST, compact_at=[0.25])
    trained = [p for p in handle.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    drive(handle, optimizer, 0, 14)
    states = {
        p: {key: value.clone() for key, value in optimizer.state[p].items()}
        for p in handle.parameters()
    }
    handle.model(**inputs(handle.model), labels=torch.tensor([0, 1])).loss.backward()
    handle.on_gradients(14)
    change = handle.on_step(14)
    assert change is not None
    apply_change(optimizer, change)
    assert len(change.resized) == 3 * 6
    for old, new, dim, kept in change.resized:
        assert dim is not None
        assert kept is not None
        assert old not in optimizer.state
        for key in ("exp_avg", "exp_avg_sq"):
            expected = states[old][key].index_select(dim, kept)
            assert torch.equal(optimizer.state[new][key], expected)
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in handle.model.parameters() if p.requires_grad}
    optimizer.zero_grad()
    drive(handle, optimizer, 15, 30)
    assert handle.report()["channels"] == [33, 33, 33, 64]


def test_masks_go_with_the_last_compaction() -> None:
    handle = attach(**FAST, compact_at=[0.5])
    drive(handle, sgd(handle), 0, 29)
    masked = logits(handle.model)
    assert [key for key in handle.overhead() if "importance" in key] == []
    assert len(handle.overhead()) == 2 * 3
    drive(handle, sgd(handle), 29, 30)
    assert not handle.overhead()
    assert handle.compact() is None
    assert not torch.equal(logits(handle.model), masked)


def test_a_resumed_run_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counting FLOPs takes most of such a run's time.
    monkeypatch.setattr("harness.training.setup._fit_flops", lambda *given: StepFlops(0, 0, 0, 0))
    cell = cell_of(
        tmp_path,
        "{loraprune: {r: 4, interval: 2, compact_at: [0.6, 0.9]}}",
        *RESUMED,
        *("train.checkpoint=last", "train.evaluate=end", "train.epochs=5"),
    )
    whole = run_cell(cell)
    assert whole.handle.report()["channels"] == [33, 33, 33, 64]
    for stop in (7, 11):  # with masks; behind the first compaction, before the last selection
        folder = tmp_path / f"checkpoint-{stop}"
        with pytest.raises(Interrupted):
            run_cell(cell, EndsAfter(folder, stop))
        again = run_cell(cell, Checkpoints(folder, every=1e9))
        same(again, whole)
        ours, theirs = again.handle, whole.handle
        assert isinstance(ours, LoraPruneHandle)
        assert isinstance(theirs, LoraPruneHandle)
        assert [gone(unit) for unit in ours.sets] == [gone(unit) for unit in theirs.sets]


def test_state_is_of_the_groups_as_built() -> None:
    first, second = attach(**FAST, compact_at=[0.2]), attach(**FAST, compact_at=[0.2])
    drive(first, sgd(first), 0, 21)
    state = {k: v.clone() if isinstance(v, Tensor) else v for k, v in first.state_dict().items()}
    second.load_state_dict(state)
    shapes = {key: parameter.shape for key, parameter in first.adapter.items()}
    assert {key: parameter.shape for key, parameter in second.adapter.items()} == shapes
    assert second.report() == first.report()
    second.model.load_state_dict(first.model.state_dict())
    assert torch.equal(logits(second.model), logits(first.model))
    for handle in (first, second):
        drive(handle, sgd(handle), 21, 29)
    assert [gone(unit) for unit in second.sets] == [gone(unit) for unit in first.sets]


def test_forecast_of_what_is_left_is_lower() -> None:
    found = {}
    for stage in LoraPrune().stages(PLAN):
        asked = request("tiny-bert", "loraprune", steps=((8, 64),), attention="eager").model_copy(
            update={"stage": Stage(name=stage.name, fraction=stage.fraction)}
        )
        found[stage.name] = fake_run(asked)
    masked, compacted = found["masked"], found["compacted"]
    assert sum(compacted.report.split.values()) < sum(masked.report.split.values())
    assert masked.report.split["method"] > 0
    assert not compacted.report.split.get("method")
    assert compacted.report.split["optimizer"] < masked.report.split["optimizer"]
    assert compacted.flops_step < masked.flops_step
