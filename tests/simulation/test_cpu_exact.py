"""A forecast for the CPU against the ledger on a real step there: the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import forked, request

from harness.metering.ledger import Ledger, LedgerReport
from harness.metering.meter import declared_tensors
from harness.models.load import load_model
from harness.simulation.fake import autocasts, fake_run
from harness.simulation.request import Request
from harness.simulation.target import CPU
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.precision import weight_dtype
from methods import get_method
from methods.base import Plan, Stage

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("tiny-bert", "full", {}),
    ("tiny-bert", "lora", {"gradient_checkpointing": True}),
    ("tiny-bert", "lora", {"keep_outputs": True, "accumulate": 2}),
    ("tiny-bert", "bitfit", {"attention": "eager", "label_smoothing": 0.1}),
    ("tiny-roberta", "elora", {"attention": "eager", "optimizer": "sgd"}),
    ("tiny-deberta-v2", "lora", {"attention": "eager"}),
    ("tiny-gpt2", "full", {"precision": "bf16-weights"}),
    ("tiny-llama", "lora", {}),
    ("tiny-vit", "lora", {}),
    ("tiny-swin", "full", {}),
]


def real_batch(asked: Request, model: Any) -> dict[str, torch.Tensor]:
    examples, length, _ = asked.steps[0]
    if asked.family == "image":
        side = model.config.image_size
        pixels = torch.randn(examples, model.config.num_channels, side, side)
        return {"pixel_values": pixels, "labels": torch.zeros(examples, dtype=torch.int64)}
    mask = torch.ones(examples, length, dtype=torch.int64)
    mask[0, -1] = 0
    batch = {"input_ids": torch.full((examples, length), 5), "attention_mask": mask}
    if model.config.model_type in {"bert", "deberta-v2"}:
        batch["token_type_ids"] = torch.zeros(examples, length, dtype=torch.int64)
    return {**batch, "labels": torch.zeros(examples, dtype=torch.int64)}


def real_run(asked: Request) -> LedgerReport:
    """Run the request's step twice on real tensors; report the second one."""
    settings = asked.train
    family = get_family(asked.family)
    model = load_model(
        asked.model, family=family, num_labels=2, attention=settings.attention,
        dtype=weight_dtype(settings.precision), seed=0, use_cache=settings.keep_outputs,
    )  # fmt: skip
    method = get_method(asked.method)(**asked.method_options)
    state = build_step(
        model, method, Plan(1000, 100, 10), settings, torch.device("cpu"), family,
        stage=asked.stage,
    )  # fmt: skip
    known = declared_tensors(state.model, state.handle)
    ledger = Ledger(known, optimizer=state.optimizer, model=state.model)
    since = 0
    with ledger:
        for number in range(2):
            since = len(ledger.events) if number else 0
            batches = (real_batch(asked, state.model) for _ in range(settings.accumulate))
            state.step.run(number, batches, settings.accumulate, ledger)
    return ledger.report(since, 10_000)


@pytest.mark.parametrize(("model", "method", "train"), CASES)
def test_forecast_of_a_cpu_step_is_the_step(model: str, method: str, train: dict[str, Any]) -> None:
    family = "image" if model in {"tiny-vit", "tiny-swin"} else "classification"
    asked = request(model, method, family=family, target=CPU, **train)
    assert not autocasts(asked)
    forecast, real = forked(fake_run, asked).report, real_run(asked)
    # Apart: the sum of losses; and in Swin a copy in backward that strides of fakes ask for.
    assert abs(forecast.peak - real.peak) <= (8192 if model == "tiny-swin" else 64)
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
