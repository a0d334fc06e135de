"""The setting `train.devices`: what it is known by, and what it does not go with."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import cell_of

from harness.errors import UserError
from harness.gpus import InstalledGpu
from harness.suite.preflight import check_cells


def test_one_device_leaves_a_cells_key_alone(tmp_path: Path) -> None:
    plain, said = cell_of(tmp_path, "lora"), cell_of(tmp_path, "lora", "train.devices=1")
    two = cell_of(tmp_path, "lora", "train.devices=2")
    assert plain.key == said.key != two.key
    assert (two.train.batch_size, two.train.step_batch) == (8, 16)


@pytest.mark.parametrize(
    ("method", "override", "told"),
    [
        ("{adapterdrop: {over: lora}}", "train.devices=2", "a step leaves adapters out"),
        (
            "{safe: {over: lora, tau: 0.5, prefix: true, cache_prefix: true}}", "train.devices=2",
            "other examples in every epoch",
        ),
        ("lora", "train.devices=0", "greater than 0"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_several_devices(
    tmp_path: Path, method: str, override: str, told: str
) -> None:
    with pytest.raises(UserError, match="devices") as error:
        cell_of(tmp_path, method, override)
    assert told in str(error.value)


def test_the_optimizer_in_backward_comes_before_the_gradients_are_averaged(tmp_path: Path) -> None:
    early = ("train.optimizer_in_backward=true", "train.clip=null")
    with pytest.raises(UserError, match="devices must be 1, and is 2"):
        cell_of(tmp_path, "lora", *early, "train.devices=2")


def test_a_run_wants_as_many_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(tmp_path, "lora", "train.devices=2")
    one = [InstalledGpu(0, "a card", 2**30)]
    monkeypatch.setattr("harness.gpus.installed", lambda: one)
    with pytest.raises(UserError, match="devices = 2: this machine has 1 GPU"):
        check_cells([cell])
    for cards in ([], one * 2):  # without a GPU ranks share the cores
        monkeypatch.setattr("harness.gpus.installed", lambda cards=cards: cards)
        check_cells([cell])
