"""A forecast for the CPU against the ledger on a real step there: the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from asked import forked, request
from real import real_run

from harness.shapes import BatchShape
from harness.simulation.built import autocasts
from harness.simulation.fake import fake_run
from harness.simulation.target import CPU
from methods.base import Stage

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("tiny-bert", "full", {}),
    ("tiny-bert", "lora", {"gradient_checkpointing": True}),
    ("tiny-bert", "lora", {"outputs": "kept", "accumulate": 2}),
    ("tiny-bert", "bitfit", {"attention": "eager", "label_smoothing": 0.1}),
    ("tiny-roberta", "elora", {"attention": "eager", "optimizer": "sgd"}),
    ("tiny-deberta-v2", "lora", {"attention": "eager"}),
    ("tiny-gpt2", "full", {"precision": "bf16-weights"}),
    ("tiny-llama", "lora", {}),
    ("tiny-vit", "lora", {}),
    ("tiny-swin", "full", {}),
]


@pytest.mark.parametrize(("model", "method", "train"), CASES)
def test_forecast_of_a_cpu_step_is_the_step(model: str, method: str, train: dict[str, Any]) -> None:
    family = "image" if model in {"tiny-vit", "tiny-swin"} else "classification"
    asked = request(model, method, family=family, target=CPU, **train)
    assert not autocasts(asked)
    forecast, real = forked(fake_run, asked).report, real_run(asked)
    assert abs(forecast.peak - real.peak) <= 64  # apart: the sum of losses
    assert abs(forecast.at_rest - real.at_rest) <= 64
    assert forecast.saved == real.saved
    assert abs(forecast.split["activations"] - real.split["activations"]) <= 64


QV = {"lora": {"r": 4, "targets": "qv"}}
SAFE = {"over": QV, "tau": 0.5}
STAGED: list[tuple[str, dict[str, Any], float, dict[str, Any]]] = [
    ("safe", SAFE, 0.0, {}),
    ("safe", SAFE, 0.5, {}),
    ("safe", SAFE, 0.5, {"gradient_checkpointing": True}),
    ("safe", SAFE, 0.5, {"attention": "eager", "gradient_checkpointing": True}),
    ("safe", {**SAFE, "merge": True}, 0.75, {}),
    ("safe", {**SAFE, "over": "bitfit"}, 0.5, {}),
    ("safe", {**SAFE, "over": {"aflora": {"r": 4}}}, 0.25, {}),
    ("aflora", {"r": 4}, 0.0, {}),
    ("aflora", {"r": 4}, 1.0, {"attention": "eager"}),
    ("adapterdrop", {"over": QV}, 0.0, {}),
    ("adapterdrop", {"over": QV}, 0.5, {}),
    ("houlsby", {}, 0.0, {"gradient_checkpointing": True}),
    ("meft", {"reversible": "all", "chunk": 2}, 0.0, {}),
    ("meft", {}, 0.0, {"attention": "eager", "gradient_checkpointing": True}),
    ("loraprune", {"r": 4}, 0.5, {}),
    ("adalora", {}, 0.0, {}),
    ("sora", {}, 0.5, {}),
]


@pytest.mark.parametrize(("method", "options", "fraction", "train"), STAGED)
def test_forecast_of_a_stage_is_its_step(
    method: str, options: dict[str, Any], fraction: float, train: dict[str, Any]
) -> None:
    asked = request("tiny-bert", method, options, target=CPU, **train)
    asked = asked.model_copy(
        update={"stage": Stage(name="asked", fraction=fraction), "num_steps": 1000}
    )
    forecast, real = forked(fake_run, asked).report, real_run(asked)
    assert abs(forecast.peak - real.peak) <= 64
    assert abs(forecast.at_rest - real.at_rest) <= 64
    assert forecast.saved == real.saved


MASKED = [("tiny-bert", "classification"), ("tiny-gpt2", "causal_lm"), ("tiny-llama", "causal_lm"),
          ("tiny-bart", "seq2seq")]  # fmt: skip


@pytest.mark.parametrize(("model", "family"), MASKED)
@pytest.mark.parametrize("padded", [True, False])
def test_a_mask_counts_where_it_has_zeros(model: str, family: str, padded: bool) -> None:
    """A batch without padding has a mask, too, of ones; so has the decoder of BART, its own."""
    asked = request(model, family=family, target=CPU).model_copy(
        update={"steps": (BatchShape(4, 32, padded=padded),)}
    )
    forecast, real = forked(fake_run, asked).report, real_run(asked)
    assert abs(forecast.peak - real.peak) <= 64
