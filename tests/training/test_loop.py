"""The loop on a tiny model: every setting runs, repeats bit for bit, and phases follow changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, report, rows, run, setup_of, weights

from harness.suite.cell import Cell
from harness.training.evaluate import evaluate_on
from harness.training.loop import Loop
from methods.base import Change


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def cell(*overrides: str) -> Cell:
        return cell_of(tmp_path, "{lora: {r: 4, dropout: 0.1}}", *overrides)

    return cell


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.precision=bf16"],
        ["train.precision=bf16-weights"],
        ["train.gradient_checkpointing=true"],
        ["train.attention=eager", "train.padding=max"],
        ["train.accumulate=3", "train.length_grouping=true"],
        ["train.optimizer=sgd", "train.schedule=cosine", "train.warmup=0.1"],
        ["train.optimizer=adafactor", "train.schedule=constant", "train.clip=null"],
        ["train.label_smoothing=0.1", "train.weight_decay=0.1", "train.head_lr=0.01"],
        ["train.train_pooler=true", "train.checkpoint=best"],
        ["methods=[full]"],
        ["methods=[bitfit]", "protocol=aflora"],
        ["methods=[{elora: {r: 8, share: none}}]", "train.evaluate=epoch"],
        ["model.config=tiny-gpt2"],
        ["model.config=tiny-deberta-v2", "train.attention=eager"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_every_setting_trains_and_repeats_bit_for_bit(make: Any, overrides: list[str]) -> None:
    cell = make(*overrides)
    first, again = run(cell), run(cell)
    assert first.state.result.final_loss == again.state.result.final_loss
    assert first.state.result.scores == again.state.result.scores
    ours, theirs = weights(first), weights(again)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    memory = report(first)
    (phase,) = memory.phases
    assert sum(phase.split.values()) == phase.peak_allocated > 0
    assert phase.split["inputs"] > 0
    assert memory.peak_evaluation


@pytest.mark.parametrize(("rows_", "count"), [(16, 2), (17, 3)])
def test_accumulation_is_one_larger_batch(make: Any, rows_: int, count: int) -> None:
    """Also where the last part is smaller: 8 + 8 + 1 is 17, and the one counts as one."""
    once = ("methods=[{lora: {r: 4}}]", "train.max_steps=1", "train.optimizer=sgd",
            "train.clip=null", rows(rows_, 16))  # fmt: skip
    plain = make(f"train.batch_size={rows_}", *once)
    parts = make("train.batch_size=8", f"train.accumulate={count}", *once)
    setups = [setup_of(cell) for cell in (plain, parts)]
    for setup in setups:
        setup.model.eval()  # no dropout, so that only the split of the batch differs
        setup.model.train = lambda _mode=True, model=setup.model: model  # type: ignore[method-assign]
        Loop(setup).run()
    ours, theirs = (weights(setup) for setup in setups)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-7) for name in ours)
    losses = [setup.state.result.final_loss for setup in setups]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_checkpointing_changes_memory_and_not_the_loss(make: Any) -> None:
    plain, saving = run(make()), run(make("train.gradient_checkpointing=true"))
    assert saving.state.result.final_loss == pytest.approx(plain.state.result.final_loss, rel=1e-5)
    ours, theirs = (report(r).phases[0].saved_activations for r in (saving, plain))
    assert ours < 0.6 * theirs


def test_head_and_adapter_start_alike_for_every_method(make: Any) -> None:
    heads = [setup_of(make(f"methods=[{m}]")).state.head for m in ("full", "lora", "bitfit")]
    for other in heads[1:]:
        assert all(torch.equal(a, b) for a, b in zip(heads[0], other, strict=True))


def test_a_change_freezes_at_once_and_opens_a_phase(make: Any) -> None:
    setup = setup_of(make("train.weight_decay=0.1"))
    lower = [p for unit in setup.handle.units()[:1] for p in unit]
    seen: dict[int, list[torch.Tensor]] = {}

    def on_gradients(step: int) -> Change | None:
        seen[step] = [p.detach().clone() for p in lower]
        return Change(frozen=tuple(lower)) if step == 5 else None

    setup.handle.on_gradients = on_gradients  # type: ignore[method-assign]
    Loop(setup).run()
    assert all(torch.equal(p, q) for p, q in zip(lower, seen[5], strict=True)), "moved once more"
    assert not all(torch.equal(p, q) for p, q in zip(seen[5], seen[4], strict=True))
    memory = report(setup)
    assert [phase.first_step for phase in memory.phases] == [0, 6]
    before, after = memory.phases
    assert (before.shallowest_live_layer, after.shallowest_live_layer) == (0, 1)
    assert after.saved_activations < before.saved_activations
    assert after.split["optimizer"] < before.split["optimizer"]
    whole = sum(p.numel() for p in setup.handle.parameters())
    frozen = sum(p.numel() for p in lower)
    assert setup.state.result.trainable_sum == 5 * whole + 11 * (whole - frozen), (
        "step 5 updates less"
    )


def test_best_checkpoint_is_the_one_that_is_scored(make: Any) -> None:
    setup = setup_of(make("protocol=aflora", "train.epochs=3", "train.lr=0.01"))
    Loop(setup).run()
    history = setup.state.result.history
    scores = [entry["validation"]["matthews"] for entry in history]
    assert setup.state.result.best_epoch == scores.index(max(scores))
    again = evaluate_on(setup, "validation")
    assert again == history[setup.state.result.best_epoch]["validation"], "its weights are back"
