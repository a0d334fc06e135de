"""`train.optimizer` and its settings: what goes together, what is refused, what a card lacks."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from bare import cells

from harness.errors import UserError
from harness.forecasting.cards import CARDS
from harness.suite.cell import Cell
from harness.suite.optimization import OWNERS, Optimizer
from harness.suite.optimizers import OPTIMIZERS, missing_package
from harness.suite.preflight import check_cells

BASE = ("tasks=[acceptability]", "seeds=[0]", "model.config=tiny-bert")
EARLY = ("train.optimizer_in_backward=true", "train.clip=null")


def cell_with(tmp_path: Path, *overrides: str) -> Cell:
    [cell] = cells(tmp_path, *BASE, "methods=[lora]", *overrides)
    return cell


def test_every_name_is_described_and_every_setting_somebody_s() -> None:
    assert set(get_args(Optimizer)) == set(OPTIMIZERS)
    assert {name for kind in OPTIMIZERS.values() for name in kind.own_settings} == set(OWNERS)


def test_what_is_not_set_is_in_no_key(tmp_path: Path) -> None:
    plain = cell_with(tmp_path)
    new = {"optimizer_in_backward", "embedding_states", "state_block"}
    assert not new & set(plain.model_dump(mode="json")["train"])
    assert cell_with(tmp_path, "train.embedding_states=fp32").key == plain.key
    assert cell_with(tmp_path, *EARLY).key != cell_with(tmp_path, "train.clip=null").key


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (EARLY[:1], "optimizer_in_backward = true: .*clip must be null, and is 1"),
        ((*EARLY, "train.accumulate=2"), "accumulate must be 1, and is 2"),
        ((*EARLY, "train.precision=fp16"), "has a scaler"),
        (
            (*EARLY, "methods=[aflora]"),
            "in_backward = true does not go with method aflora: its scores",
        ),
        (
            (*EARLY, "methods=[{safe: {over: aflora, tau: 0.5}}]"),
            "does not go with method safe: its scores",
        ),
        (("train.embedding_states=same",), "embedding_states = same is of bitsandbytes'"),
        (("train.state_block=64", "train.optimizer=adamw-8bit"), "state_block = 64 is torchao's"),
        (("train.eps=1.0e-6", "train.optimizer=lion"), "eps = 1e-06 is adamw's, .*is lion"),
        (("train.optimizer=adamw-8bits",), "adamw-8bit"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, overrides: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError, match=f"(?s)train.*{told}"):
        cell_with(tmp_path, *overrides)


def test_what_goes_together_is_not(tmp_path: Path) -> None:
    cell_with(tmp_path, *EARLY, "train.precision=bf16")
    cell_with(tmp_path, "train.optimizer=lion-8bit", "train.betas=[0.9,0.99]")
    cell_with(tmp_path, "train.optimizer=adamw-paged-8bit", "train.embedding_states=same")


def test_a_run_without_its_package_is_refused_and_a_forecast_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_with(tmp_path, "train.optimizer=adamw-paged-8bit")
    monkeypatch.setattr("harness.suite.optimizers.find_spec", lambda name: None)
    assert missing_package("adamw") is None
    with pytest.raises(UserError, match=r"optimizer = adamw-paged-8bit: .*bitsandbytes.*quantized"):
        check_cells([cell])


def test_a_card_may_lack_what_the_step_is_compiled_for(tmp_path: Path) -> None:
    train = cell_with(tmp_path, "train.optimizer=adamw-torchao-fp8").train
    assert {name: CARDS[name].lacks(train) for name in ("rtx3090", "rtx4090")} == {
        "rtx3090": ["fp8"], "rtx4090": []
    }  # fmt: skip
