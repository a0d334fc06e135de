"""Every type of the installed peft: its forecast for the CPU is a real step of the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from asked import LAYERS, SM86, forked, request
from peft_types import DECODERS_ONLY, SMALL, all_types
from real import real_run

from harness.simulation.fake import fake_run
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU, Target
from methods.peft_any.types import REFUSED

KB = 1024
FAMILIES = {"tiny-bert": "classification", "tiny-llama": "causal_lm", "tiny-gpt2": "causal_lm",
            "tiny-bart": "seq2seq"}  # fmt: skip
# Beside the first model: types that look at weights' values or compute with sparse matrices, of
# which peft has two for GPT-2's Conv1D, and others whose path differs.
OTHERS = [
    *((kind, "tiny-llama") for kind in ("ADAMSS", "FROD", "SHIRA", "UNILORA")),
    *((kind, "tiny-gpt2") for kind in ("FROD", "UNILORA", "CPT", "VERA")),
    *((kind, "tiny-bart") for kind in ("PREFIX_TUNING", "PROMPT_TUNING")),
]


def same(kind: str, model: str, options: dict[str, Any] | None = None, **train: Any) -> None:
    """Hold the forecast for the CPU to the real step, and let one for a GPU go through."""
    asked = ({"type": kind} | SMALL.get(kind, {}) | (options or {}), FAMILIES[model])
    if kind == "LN_TUNING" and model != "tiny-bert":
        asked[0].pop("target_modules")
    on_cpu, on_gpu = (
        request(model, "peft", asked[0], family=asked[1], **target, **train)
        for target in ({"target": CPU}, {})
    )
    report, real = forked(fake_run, on_cpu).report, real_run(on_cpu)
    assert abs(report.peak - real.peak) <= KB
    assert abs(report.at_rest - real.at_rest) <= KB
    assert abs(report.saved - real.saved) <= KB
    assert forked(forecast, on_gpu).peak_allocated > real.at_rest


@pytest.mark.parametrize("kind", [kind for kind in all_types() if kind not in REFUSED])
def test_every_type(kind: str) -> None:
    same(kind, "tiny-llama" if kind in DECODERS_ONLY else "tiny-bert")


@pytest.mark.parametrize("target", [CPU, SM86])
def test_boft_is_forecast_with_its_own_options(target: Target) -> None:
    assert forked(forecast, request("tiny-bert", "peft", {"type": "BOFT"}, target=target)).at_rest


@pytest.mark.parametrize(("kind", "model"), OTHERS)
def test_types_on_other_models(kind: str, model: str) -> None:
    same(kind, model)


@pytest.mark.parametrize("kind", ["FROD", "SHIRA", "OSF"])
def test_over_sixteen_bits(kind: str) -> None:
    same(kind, "tiny-llama", precision="bf16-weights")
    same(kind, "tiny-llama", {"autocast_adapter_dtype": False}, precision="bf16-weights")


@pytest.mark.parametrize("start", [False, "gaussian", "pissa", "pissa_niter_4", "olora", "mica",
                                   "orthogonal"])  # fmt: skip
def test_every_start_of_lora(start: Any) -> None:
    """MiCA trains half of what the others do, also where nothing can be decomposed."""
    same("LORA", "tiny-bert", {"r": 4, "init_lora_weights": start})


def test_a_start_under_another_method() -> None:
    """The method on top hands the options of the lower one on."""
    over = {"peft": {"type": "LORA", "r": 4, "init_lora_weights": "pissa"}}
    asked = request("tiny-bert", "safe", {"over": over, "tau": 0.5})
    assert forked(forecast, asked).peak_allocated


def test_ranks_that_only_weights_tell_are_the_largest() -> None:
    options = {"type": "ADAMSS", "use_dynamic_rank": True}
    told = forked(forecast, request("tiny-bert", "peft", options))
    assert [remark for remark in told.remarks if "use_dynamic_rank" in remark]
    assert [remark for remark in told.remarks if "clusters" in remark]
    plain = forked(forecast, request("tiny-bert", "peft", {"type": "ADAMSS"}))
    assert told.peak_allocated == plain.peak_allocated


def test_a_start_that_is_not_computed_is_told() -> None:
    options = {"type": "LORA", "r": 4, "init_lora_weights": "pissa"}
    (remark,) = forked(forecast, request("tiny-bert", "peft", options)).remarks
    assert remark.startswith("init_lora_weights 'pissa' computes with the weights")


def test_the_first_rows_of_cuda_s_singular_vectors_are_a_view() -> None:
    """cuSOLVER's Vh lies by rows: PSOFT, which keeps `r` of them as they are, keeps all."""

    def at_rest(svd: str) -> int:
        options = {"type": "PSOFT", "r": 8, "psoft_svd": svd}
        return int(forked(forecast, request("tiny-bert", "peft", options)).at_rest)

    width, targets, rank = 32, 2, 8  # of tiny-bert's query and value
    kept = 4 * width * (width - rank) * LAYERS * targets
    assert at_rest("full") - at_rest("lowrank") == pytest.approx(kept, rel=0.05)


def test_uncast_adapters_have_the_model_s_type() -> None:
    options = {"type": "LORA", "r": 4, "target_modules": "six"}
    sizes = []
    for cast in ({}, {"autocast_adapter_dtype": False}):
        asked = request("tiny-llama", "peft", options | cast, family="causal_lm", target=CPU,
                        precision="bf16-weights")  # fmt: skip
        sizes.append(forked(fake_run, asked).report.split["weights.adapter"])
    assert sizes[0] == 2 * sizes[1]
