"""A run that is interrupted at a step and taken up again ends with the bytes of one that is not."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import LORA, RESUMED, EndsAfter, cell_of, run, same

from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted

SAFE = f"over: {LORA}, tau: {{quantile: 0.6}}, max_warmup: 2, t_f: {{epochs: 3}}, probe: 16"
STEPS = 24  # three per epoch
EVERY = range(1, STEPS + 1) if "HEADROOM_EVERY_STEP" in os.environ else (1, 8, 9, 10, 12, 17)
FEW = (9, 13)


@pytest.mark.parametrize(
    ("method", "overrides", "stops"),
    [
        (f"{{safe: {{{SAFE}}}}}", [], EVERY),
        (f"{{safe: {{{SAFE}, prefix: true, cache_prefix: true}}}}", [], FEW),
        (f"{{safe: {{{SAFE}, merge: true}}}}", [], FEW),
        (f"{{safe: {{{SAFE}, activation: local}}}}", ["train.checkpoint=best"], FEW),
        (f"{{adapterdrop: {{over: {LORA}}}}}", ["train.accumulate=2"], (5,)),
        ("{aflora: {r: 4}}", [], FEW),
        ("{aflora: {r: 4, rule: official, t_f: {fraction: 0.4}, interval: 2}}", [], FEW),
        ("{safe: {over: {aflora: {r: 4}}, tau: 1.0, max_warmup: 2, probe: 16}}", [], (10,)),
        (
            "{safe: {over: {lora: {r: 4}}, tau: 1.0, max_warmup: 2, probe: 16}}",
            ["train.weights=nf4", "train.double_quant=true"],
            (10,),
        ),
        ("full", ["train.optimizer=adafactor", "train.precision=bf16"], (7,)),
        (
            "full",
            ["train.optimizer=adamw-8bit", "train.optimizer_in_backward=true", "train.clip=null"],
            (7,),
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_resumed_run_ends_with_the_same_bytes(
    tmp_path: Path, method: str, overrides: list[str], stops: Any
) -> None:
    cell = cell_of(tmp_path, method, *RESUMED, *overrides)
    whole = run(cell)
    for stop in stops:
        folder = tmp_path / f"checkpoint-{stop}"
        with pytest.raises(Interrupted):
            run(cell, EndsAfter(folder, stop))
        again = run(cell, Checkpoints(folder, every=1e9))
        assert again.state.result.resumed_at == [stop]
        same(again, whole)


def test_a_run_may_be_interrupted_twice(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, f"{{safe: {{{SAFE}, merge: true}}}}", *RESUMED)
    for steps in (11, 6):
        with pytest.raises(Interrupted):
            run(cell, EndsAfter(tmp_path / "checkpoint", steps))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [11, 17]
    same(again, run(cell))


def test_what_cannot_be_stored_starts_again(tmp_path: Path) -> None:
    """peft's AdaMSS keeps importances that no state dict holds."""
    cell = cell_of(tmp_path, "{peft: {type: ADAMSS, target_modules: qv}}", *RESUMED)
    with pytest.raises(Interrupted, match="starts it again"):
        run(cell, EndsAfter(tmp_path / "checkpoint", 5))
    assert not (tmp_path / "checkpoint").exists()
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=0))
    assert again.state.result.resumed_at == []
    same(again, run(cell))


class Killed(Exception):
    """Stands for kill -9: nothing is written any more."""


class KilledAfter(Checkpoints):
    """Saves behind every third step, and is killed behind so many."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder, every=1e9)
        self.steps, self.done = steps, 0

    def due(self) -> bool:
        """Count, save or die."""
        self.done += 1
        if self.done == self.steps:
            raise Killed
        return self.done % 3 == 0


ADALORA = "{adalora: {init_r: 4, target_r: 2, targets: qv, delta_t: 2, dropout: 0.1}}"


@pytest.mark.parametrize(
    ("method", "step"),
    [(LORA, 5), ("{aflora: {r: 4}}", 11), (f"{{safe: {{{SAFE}}}}}", 13), (ADALORA, 17)],
    ids=["lora", "aflora", "safe", "adalora"],
)
def test_a_killed_run_does_again_what_came_after_its_checkpoint(
    tmp_path: Path, method: str, step: int
) -> None:
    cell = cell_of(tmp_path, method, *RESUMED)
    with pytest.raises(Killed):
        run(cell, KilledAfter(tmp_path / "checkpoint", step))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [step - step % 3]
    same(again, run(cell))


def test_what_a_method_drops_is_not_kept_alive_by_who_measures(tmp_path: Path) -> None:
    """AdaLoRA's means go when its ranks are fixed: later evaluations are measured without them."""
    method = "{adalora: {init_r: 6, target_r: 2, delta_t: 2}}"
    cell = cell_of(tmp_path, method, *RESUMED, "train.evaluate=epoch")
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 20))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    same(again, run(cell))


def test_a_half_written_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "lora", *RESUMED)
    checkpoints = EndsAfter(tmp_path / "checkpoint", 5)
    with pytest.raises(Interrupted):
        run(cell, checkpoints)
    state = tmp_path / "checkpoint" / "state.json"
    state.write_text(state.read_text()[:200])
    assert checkpoints.load() is None
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == []


def test_a_checkpoint_of_other_code_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoint", every=1e9)
    checkpoints.save({"step": 3, "x": torch.ones(2)})
    assert checkpoints.load()["step"] == 3  # type: ignore[index]
    monkeypatch.setattr("harness.training.checkpoint._code", lambda: ["other"])
    assert checkpoints.load() is None


def test_no_changed_bit_of_a_checkpoint_is_believed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is damaged is told, and the run starts again."""
    checkpoints = Checkpoints(tmp_path / "checkpoint", every=1e9)
    state = {"step": 12, "weights": torch.arange(8.0), "names": ["a", "b"]}
    assert checkpoints.save(state) is None
    dice = random.Random(0)
    for name in ("state.json", "tensors.safetensors", "SHA256SUMS"):
        file = checkpoints.folder / name
        whole = file.read_bytes()
        for _ in range(40):
            place, bit = dice.randrange(len(whole)), 1 << dice.randrange(8)
            file.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            assert checkpoints.load() is None
            assert "is damaged" in capsys.readouterr().out
        file.write_bytes(whole[: len(whole) // 2])
        assert checkpoints.load() is None
        file.write_bytes(whole)
    again = checkpoints.load()
    assert again is not None
    assert (again["step"], again["names"]) == (12, ["a", "b"])
    assert torch.equal(again["weights"], torch.arange(8.0))


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.training.checkpoint.write_state", full)
    cell = cell_of(tmp_path, "bitfit", "train.epochs=1", "train.max_steps=3")
    checkpoints = Checkpoints(tmp_path / "checkpoint", every=0)
    assert run(cell, checkpoints).state.result.steps == 3
    assert "no checkpoint in" in capsys.readouterr().out
    assert not list(tmp_path.glob("checkpoint*")), "nor does it take what space there is"
    with pytest.raises(Interrupted, match=r"starts it again .no checkpoint"):
        run(cell, EndsAfter(tmp_path / "checkpoint", 2))
