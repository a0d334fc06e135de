"""Inputs are as long as a model's table of positions allows; one limit for runs and forecasts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bare import cells as bare_cells
from cells import cell_of, rows, silent
from sizes import build_with
from tiny import build

from harness.cell import run_cell
from harness.errors import UserError
from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.models.positions import positions_of

# By the papers' or the released code's own figures; None: relative or rotary positions.
LIMITS = {
    "bert-base-uncased": 512, "roberta-base": 512, "gpt2": 1024, "bart-base": 1024,
    "deberta-v3-base": None, "llama-2-7b": None,
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name: str) -> None:
    assert positions_of(build_with(name, "classification")) == LIMITS[name]


@pytest.mark.parametrize(
    "name", ["tiny-bert", "tiny-roberta", "tiny-gpt2", "tiny-bart", "tiny-deberta-v2", "tiny-llama"]
)
def test_the_limit_is_where_the_model_itself_ends(name: str) -> None:
    model = build(name).eval()
    limit = positions_of(model)

    def run(length: int) -> None:
        ids = torch.full((1, length), 7)
        ids[:, -1] = 2  # BART classifies by its end-of-text token
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))

    run(limit or 300)
    if limit:
        with pytest.raises((IndexError, RuntimeError)):
            run(limit + 1)


@pytest.mark.parametrize(
    ("model", "length", "limit"),
    [("tiny-bert", 131, 130), ("tiny-roberta", 129, 128), ("tiny-gpt2", 131, 130),
     ("tiny-deberta-v2", 300, None), ("tiny-llama", 300, None)],
)  # fmt: skip
def test_run_and_forecast_agree(tmp_path: Path, model: str, length: int, limit: int | None) -> None:
    said = f"{model} has {limit} positions, and inputs have {length} tokens"
    settings = ("methods=[bitfit]" if model != "tiny-llama" else "methods=[lora]", "seeds=[0]",
                f"model.config={model}", "train.attention=eager")  # fmt: skip
    task = f"tasks=[{{shape: {{family: classification, batch_size: 2, length: {length}}}}}]"
    [found] = forecast_cells(
        Forecaster(None, 1), bare_cells(tmp_path, *settings, task), [CARDS["l4"]]
    )
    train = (f"train.max_length={length}", "train.padding=max", "train.max_steps=1")
    cell = cell_of(tmp_path, "lora", rows(8, 8), *settings, *train, "train.eval_batch_size=4")
    if limit is None:
        assert found.error is None
        assert run_cell(cell, silent).outcome == "ok"
        return
    assert said in (found.error or "")
    with pytest.raises(UserError, match=said):
        run_cell(cell, silent)


def test_short_texts_run_whatever_the_limit_of_their_length(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "bitfit", rows(8, 8), "train.max_length=512", "train.max_steps=1")
    assert run_cell(cell, silent).outcome == "ok"


def test_a_prompt_takes_positions(tmp_path: Path) -> None:
    method = "{peft: {type: PROMPT_TUNING, num_virtual_tokens: 20}}"
    train = ("train.max_length=128", "train.padding=max", "train.max_steps=1")
    cell = cell_of(tmp_path, method, rows(8, 8), *train)
    with pytest.raises(UserError, match="tiny-bert has 110 positions, and inputs have 128"):
        run_cell(cell, silent)
    shape = "tasks=[{shape: {family: classification, batch_size: 2, length: 128}}]"
    chosen = bare_cells(tmp_path, f"methods=[{method}]", "seeds=[0]", shape)
    [found] = forecast_cells(Forecaster(None, 1), chosen, [CARDS["l4"]])
    assert "tiny-bert has 110 positions" in (found.error or "")
