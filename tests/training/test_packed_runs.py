"""Runs with packed examples and with losses in pieces, from rows to a record and its forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import speaking
from asked import SM86, forked, request
from bare import cells
from cells import silent

from harness.cell import run_cell
from harness.errors import UserError
from harness.forecasting.cards import CARDS, target_of
from harness.forecasting.changes import changes_of
from harness.forecasting.requests import requests_of, shapes_without_data
from harness.models.spec import ModelSpec
from harness.record import Record
from harness.shapes import BatchShape
from harness.simulation.fake import FakeRun, fake_run
from harness.suite.preflight import check_cells
from harness.suite.settings import TrainSettings
from harness.tasks.language.base import LanguageTask

PACKED = ("train.padding=packed", "train.max_length=192")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = speaking.data(tmp_path_factory.mktemp("packed"))
    speaking.model(root / "tiny-llama", "tiny-llama")
    return root


def run_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *given: str) -> Record:
    monkeypatch.setattr(LanguageTask, "check", lambda self: None)
    monkeypatch.setattr(LanguageTask, "score", lambda self, *_: dict.fromkeys(self.metrics, 0.0))
    cell = speaking.cell_of(folder, folder / "tiny-llama", "instructions", "lora", *given)
    return run_cell(cell, silent)


@pytest.mark.parametrize(
    "given",
    [("train.loss=chunked", "train.evaluate=epoch"), ("train.gradient_checkpointing=reentrant",)],
)
def test_a_run_is_its_forecast(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    record = run_of(folder, monkeypatch, *PACKED, *given)
    assert record.memory is not None
    assert record.forecast is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
    assert abs((stage.peak_evaluation or 0) - (record.memory.peak_evaluation or 0)) <= 64
    assert record.forecast.steps[0] == (4, 192)


def packed_run(model: str = "tiny-llama", packed: int = 16, **train: Any) -> FakeRun:
    asked = request(model, family="causal_lm", padding="packed", **train)
    shape = BatchShape(2, 1024, padded=False, packed=packed)
    run: FakeRun = forked(fake_run, asked.model_copy(update={"steps": (shape,)}))
    return run


def test_flash_attention_has_no_mask_of_a_row() -> None:
    """Its kernel is told where examples end; sdpa's reads a mask (2, 1, 1024, 1024) in 16 bits."""
    masked = packed_run(precision="bf16-weights")
    flash = packed_run(precision="bf16-weights", attention="flash_attention_2")
    mask = 2 * 1024 * 1024
    assert masked.kernels != ("flash",)
    assert masked.report.peak - flash.report.peak > 2 * mask
    # Backward's sums have 128 rows more for each example: 2 heads of 16, 32 of them and a sum.
    more = packed_run(packed=64, precision="bf16-weights", attention="flash_attention_2")
    ends = more.report.saved - flash.report.saved
    assert 0 <= ends <= 64 * 1024  # where examples end, in each layer


def test_a_bare_shape_is_packed_where_the_settings_say_so(tmp_path: Path) -> None:
    shape = "tasks=[{shape: {family: causal_lm, batch_size: 2, length: 1024}}]"
    [cell] = cells(tmp_path, shape, "model.config=tiny-llama", "methods=[lora]", "seeds=[0]",
                   "train.padding=packed")  # fmt: skip
    shapes = shapes_without_data(cell)
    [asked] = requests_of(cell, target_of(CARDS["a100-80"]), shapes)
    assert asked.steps[0] == (2, 1024, None, False, 4)
    assert asked.evaluation == (2, 1024, None, True, None)
    assert "packs of 1024 tokens hold examples of 512" in " ".join(shapes.assumptions)
    assert forked(fake_run, asked).report.peak


def test_a_forecast_refuses_a_model_that_sees_both(tmp_path: Path) -> None:
    from tiny_models import tiny_config

    tiny_config("gpt_oss").save_pretrained(tmp_path)
    asked = request("tiny-llama", "full", family="causal_lm", padding="packed", target=SM86)
    shape = BatchShape(2, 32, padded=False, packed=8)
    asked = asked.model_copy(update={"steps": (shape,), "model": ModelSpec(path=str(tmp_path))})
    with pytest.raises(UserError, match="gpt_oss: the examples of a row see one another"):
        forked(fake_run, asked)


@pytest.mark.parametrize("setting", ["padding=packed", "loss=chunked", "liger_kernels=[rms_norm]"])
def test_what_is_of_language_models_is_refused_elsewhere(tmp_path: Path, setting: str) -> None:
    shape = "tasks=[{shape: {family: classification, batch_size: 2, length: 64}}]"
    with pytest.raises(UserError, match=r"is of the family causal_lm, and this one is classific"):
        cells(tmp_path, shape, "model.config=tiny-bert", f"train.{setting}")


@pytest.mark.parametrize("setting", ["loss=liger", "liger_kernels=[rms_norm]"])
def test_a_run_without_liger_is_refused_before_it_starts(folder: Path, setting: str) -> None:
    cell = speaking.cell_of(
        folder, folder / "tiny-llama", "instructions", "lora", f"train.{setting}"
    )
    with pytest.raises(UserError, match="package liger-kernel"):
        check_cells([cell])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"loss": "model", "loss_chunks": 4}, "loss_chunks = 4 is chunked's"),
        ({"loss": "chunked", "liger_kernels": ("cross_entropy",)}, "is of loss: model"),
        ({"padding": "packed", "length_grouping": True}, "no effect with padding: packed"),
    ],
)
def test_settings_of_two_losses_are_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TrainSettings(**given)


def test_explain_offers_pieces_and_the_newer_checkpointing() -> None:
    def offered(family: str, **train: Any) -> list[str]:
        return [change.text for change in changes_of(request("tiny-llama", family=family, **train))]

    pieces, newer = "loss: chunked", "gradient_checkpointing: true (a frozen prefix"
    texts = offered("causal_lm", gradient_checkpointing="reentrant", loss="liger")
    assert [any(text.startswith(start) for text in texts) for start in (pieces, newer)] == [
        True
    ] * 2
    assert not any(text.startswith(pieces) for text in offered("causal_lm", loss="chunked"))
    assert not any(text.startswith(pieces) for text in offered("classification"))
    asked = request("tiny-llama", family="causal_lm", liger_kernels=("rope", "cross_entropy"))
    [change] = [each for each in changes_of(asked) if each.text.startswith(pieces)]
    assert change.edit(asked).train.liger_kernels == ("rope",)
