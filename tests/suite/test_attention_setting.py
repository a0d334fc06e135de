"""`train.attention`: its spellings, the cells that share a key, and what cannot train here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bare import cells
from jsonschema import Draft202012Validator

from harness.cell import run_cell
from harness.errors import UserError
from harness.schema import suite_schema
from harness.suite.cell import Cell
from harness.suite.preflight import check_cells

BASE = ("tasks=[acceptability]", "methods=[lora]", "seeds=[0]", "model.config=tiny-bert")
TINY = ("train.max_steps=1", "train.batch_size=4", "train.max_length=16")


def cell_with(tmp_path: Path, *overrides: str) -> Cell:
    [cell] = cells(tmp_path, *BASE, *overrides)
    return cell


def test_auto_and_sdpa_share_a_key_and_nothing_else_does(tmp_path: Path) -> None:
    """What ran with sdpa, the default until November 2026, is not run again."""
    plain = cell_with(tmp_path)
    assert plain.train.attention == "auto"
    keys = {
        value: cell_with(tmp_path, f"train.attention={value}").key
        for value in ("auto", "sdpa", "eager", "{sdpa: efficient}", "{sdpa: math}")
    }
    assert plain.key == keys["auto"] == keys["sdpa"]
    assert len(set(keys.values())) == 4


def test_a_pinned_kernel_is_one_word_wherever_it_is_written(tmp_path: Path) -> None:
    pinned = cell_with(tmp_path, "train.attention={sdpa: efficient}")
    assert pinned.train.attention == "sdpa-efficient"
    assert Cell.model_validate(pinned.model_dump(mode="json")).key == pinned.key
    grid = cells(tmp_path, *BASE, "grid={attention: [sdpa, {sdpa: math}]}")
    assert [cell.path.split("/")[3] for cell in grid] == ["attention=sdpa", "attention=sdpa-math"]
    assert grid[1].key == cell_with(tmp_path, "train.attention={sdpa: math}").key


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{sdpa: eficient}", "efficient"),
        ("{eager: flash}", "pins a kernel of sdpa"),
        ("{sdpa: math, eager: math}", "pins a kernel of sdpa"),
        ("flex_attention", "auto"),
    ],
)
def test_what_attention_cannot_be_is_refused(tmp_path: Path, value: str, told: str) -> None:
    with pytest.raises(UserError, match=f"(?s)train.attention.*{told}"):
        cell_with(tmp_path, f"train.attention={value}")


@pytest.mark.parametrize(
    ("value", "good"),
    [("auto", True), ({"sdpa": "cudnn"}, True), ("sdpa-math", True), ({"sdpa": "x"}, False),
     ({"eager": "math"}, False), ("flex_attention", False)],
)  # fmt: skip
def test_the_schema_says_the_same(value: object, good: bool) -> None:
    suite = {"name": "x", "model": {"config": "tiny-bert"}, "tasks": ["rte"], "methods": ["full"]}
    schema = Draft202012Validator(suite_schema())
    assert schema.is_valid({**suite, "train": {"attention": value}}) == good
    assert schema.is_valid({**suite, "grid": {"attention": [value]}}) == good


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("train={attention: flash_attention_2, precision: bf16}",), "package flash-attn"),
        (("train.attention={sdpa: efficient}",), "kernels flash and math"),
    ],
)
def test_what_cannot_train_here_is_refused_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr("harness.suite.preflight.find_spec", lambda name: None)
    monkeypatch.setattr("harness.gpus.installed", list)
    with pytest.raises(UserError, match=f"train.attention = .*{told}"):
        check_cells([cell_with(tmp_path, *overrides)])


@pytest.mark.parametrize(
    ("overrides", "own"),
    [((), "sdpa"), (("model.config=tiny-deberta-v2",), "eager"),
     (("train.attention={sdpa: math}",), "sdpa-math")],
)  # fmt: skip
def test_a_record_says_what_ran(tmp_path: Path, overrides: tuple[str, ...], own: str) -> None:
    cell = cell_with(tmp_path, *TINY, *overrides)
    record = run_cell(cell, lambda event: None)
    assert record.cell["train"]["attention"] == own
    assert record.key == cell.key
    assert record.forecast is not None
    assert record.forecast.error is None
    assert torch.backends.cuda.flash_sdp_enabled(), "what was pinned is free again"


@pytest.mark.parametrize(
    "overrides",
    [
        ("train={precision: bf16}", "train.attention=flash_attention_2"),
        ("train.precision=bf16", "train.attention=flash_attention_2"),
        ("train.attention=flash_attention_2", "grid={precision: [bf16, fp16]}"),
    ],
)
def test_layers_that_say_one_half_each_are_judged_together(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    for cell in cells(tmp_path, *BASE, *overrides):
        assert (cell.train.attention, cell.train.precision[-2:]) == ("flash_attention_2", "16")


def test_a_precision_without_flash_kernels_is_refused_where_the_layers_meet(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=r"flash_attention_2 needs .*and precision is tf32"):
        cell_with(tmp_path, "train.precision=tf32", "train.attention=flash_attention_2")
    with pytest.raises(UserError, match=r"flash_attention_2 needs .*and precision is fp32"):
        cell_with(tmp_path, "train.attention=flash_attention_2")
