"""Every model type of transformers at tiny size: its forecast for the CPU is its step there."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from architectures import pairs, request
from real import real_batch, real_run, real_state
from tiny_models import NO_LINEAR, NOT_HERE, tiny_config

from harness.metering.watch import NoWatch
from harness.simulation.fake import fake_run
from harness.simulation.target import CPU

CLOSE = 8192  # bytes
LENGTH = 16
PAIRS = [(kind, name) for kind, name in pairs(every=True) if name not in NOT_HERE]
TYPES = sorted({name for _, name in PAIRS})
METHODS = ("full", "lora")


def kind_of(model_type: str) -> str:
    """Return a kind of task that the type has a head for; of several, whichever its name picks."""
    kinds = [kind for kind, name in PAIRS if name == model_type]
    return kinds[zlib.crc32(model_type.encode()) % len(kinds)]


def in_turn(model_type: str) -> str:
    """Return one of both methods, in turn."""
    return "full" if model_type in NO_LINEAR else METHODS[TYPES.index(model_type) % 2]


# How many tokens go to experts that compute nothing depends on the router's values.
BY_VALUES = {"longcat_flash"}
# What does not shrink: loops, and sizes that no config sets.
SLOW = {"hrm_text", "textnet", "nemo_speechlm", "llama4_text", "lfm2", "llama4"}


@pytest.mark.parametrize(
    ("model_type", "method"),
    [
        pytest.param(name, in_turn(name), marks=[pytest.mark.slow] * (name in SLOW))
        for name in TYPES
        if name not in BY_VALUES
    ],
)
def test_forecast_of_a_cpu_step_is_the_step(tmp_path: Path, model_type: str, method: str) -> None:
    kind = kind_of(model_type)
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = request(tmp_path, kind, model_type, method, CPU, LENGTH)
    real = real_run(asked)
    forecast = fake_run(asked).report
    assert abs(forecast.peak - real.peak) <= CLOSE
    assert abs(forecast.at_rest - real.at_rest) <= CLOSE
    assert abs(forecast.saved - real.saved) <= CLOSE


OVER = {"over": {"lora": {"r": 4, "targets": "all-linear"}}}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("bitfit", {}),
    ("elora", {"r": 8, "targets": "all-linear"}),
    ("safe", OVER | {"tau": 0.5}),
    ("adapterdrop", OVER),
    ("lora", {"targets": "all-linear", "layers": "upper-half"}),
]
# What a method says of a model that lacks the part which it trains.
REFUSAL = (
    r"no linear layer was found in the layers of this|trains biases, and the layers of this|"
    "layers are reversible"
)
# No gradient gets to what would train: biases of an indexer.
NO_GRADIENT = {("deepseek_v32", "bitfit"), ("glm_moe_dsa", "bitfit")}
IN_TURN = [(name, *OTHERS[number % len(OTHERS)]) for number, name in enumerate(TYPES)]


@pytest.mark.parametrize(
    ("model_type", "method", "options"),
    [each for each in IN_TURN if each[:2] not in NO_GRADIENT],
)
def test_a_type_trains_with_one_of_the_methods(
    tmp_path: Path, model_type: str, method: str, options: dict[str, Any]
) -> None:
    """Each method meets a fifth of the types, and trains them, or says what it lacks there."""
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = request(tmp_path, kind_of(model_type), model_type, "full", CPU, LENGTH)
    asked = asked.model_copy(update={"method": method, "method_options": options})
    try:
        state = real_state(asked)
    except ValueError as error:
        if not re.search(REFUSAL, str(error)):
            raise
        return
    before = {name: p.detach().clone() for name, p in state.handle.adapter.items()}
    state.step.run(0, [real_batch(asked, state.model)], asked.parts(), NoWatch())
    assert state.step.loss_sum.isfinite()
    assert any(not p.equal(before[name]) for name, p in state.handle.adapter.items())
