"""What Liger's kernels take off a forecast, by their own sizes; the package is not needed."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from asked import LAYERS, SM86, forked, request

from harness.errors import UserError
from harness.metering.events import LedgerReport
from harness.simulation.fake import fake_run
from harness.simulation.liger import chunk_size
from harness.simulation.target import CPU

WIDTH, INNER, WORDS = 32, 64, 2000  # of tiny-llama
TOKENS = 4 * 128
HALF, FP32 = 2, 4  # bytes


@cache
def report_of(method: str = "lora", model: str = "tiny-llama", **train: Any) -> LedgerReport:
    given = {"precision": "bf16-weights"} | train
    asked = request(model, method, family="causal_lm", steps=((4, 128),), **given)
    report: LedgerReport = forked(fake_run, asked).report
    return report


def test_pieces_are_a_power_of_two() -> None:
    # As the comment in the package says of 4 x 4,096 tokens, 32,000 words and a width of 4,096.
    assert chunk_size(4 * 4096, 4096, 32_000) == 2048
    assert chunk_size(4 * 4096, 4096, 128_256) == 512
    assert chunk_size(100, 4096, 32_000) == 16
    assert chunk_size(10, 4096, 4096) == 10


def test_kernels_keep_what_they_keep() -> None:
    plain = report_of()
    norm = report_of(liger_kernels=("rms_norm",))
    # transformers keeps a norm's input in fp32, Liger as it is; below the first nothing trains.
    assert plain.saved - norm.saved == 2 * LAYERS * TOKENS * WIDTH * (FP32 - HALF)
    gated = report_of(liger_kernels=("swiglu",))
    assert plain.saved - gated.saved == LAYERS * TOKENS * INNER * HALF
    # In 16 bits queries and keys are turned in place, and transformers keeps neither.
    assert report_of(liger_kernels=("rope",)).saved == plain.saved


def test_cross_entropy_writes_over_the_logits() -> None:
    plain, fused = report_of(), report_of(liger_kernels=("cross_entropy",))
    assert plain.peak_mark == "backward"
    # No softmax beside its gradient; less than a MiB is rounding and what the peak's place moves.
    assert plain.peak - fused.peak == pytest.approx(1.5 * TOKENS * WORDS * FP32, rel=0.02)


def test_the_fused_loss_keeps_gradients_alone() -> None:
    plain, fused = report_of(), report_of(loss="liger")
    # The softmax is gone, and its 16-bit gradient of the hidden states is there.
    assert plain.saved - fused.saved == pytest.approx(TOKENS * WORDS * FP32, rel=0.01)
    held = {holder.op for holder in fused.holders}
    assert not any("log_softmax" in op for op in held)


def test_nothing_of_transformers_stays_changed() -> None:
    from transformers.models.llama import modeling_llama

    own = modeling_llama.apply_rotary_pos_emb
    fake_run(request("tiny-llama", family="causal_lm", liger_kernels=("rope",)))
    assert modeling_llama.apply_rotary_pos_emb is own


@pytest.mark.parametrize(
    ("model", "train", "reason"),
    [
        ("tiny-gpt2", {"loss": "liger"}, "Liger has nothing for gpt2"),
        ("tiny-llama", {"liger_kernels": ("geglu",)}, "Liger has no such kernel for llama"),
    ],
)
def test_what_liger_lacks_is_refused(model: str, train: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        forked(fake_run, request(model, family="causal_lm", target=SM86, **train))


def test_an_adapter_on_the_head_is_refused() -> None:
    asked = request(
        "tiny-llama", "peft", {"type": "LORA", "target_modules": ["lm_head"]},
        family="causal_lm", loss="liger",
    )  # fmt: skip
    with pytest.raises(UserError, match="past its Linear"):
        forked(fake_run, asked)


def test_a_head_that_trains_beside_adapters_is_read_where_it_is() -> None:
    options = {"type": "LORA", "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}
    asked = request("tiny-llama", "peft", options, family="causal_lm", loss="liger")
    assert forked(fake_run, asked).report.split["gradients"] >= WORDS * WIDTH * FP32


def test_a_cpu_has_none_of_them() -> None:
    with pytest.raises(UserError, match="need a GPU"):
        forked(fake_run, request("tiny-llama", family="causal_lm", target=CPU, loss="liger"))


@pytest.mark.gpu
def test_kernels_compute_what_the_model_computes() -> None:
    pytest.importorskip("liger_kernel")
    from tiny_models import tiny

    from harness.suite.settings import TrainSettings
    from harness.training.liger import restore, use_kernels
    from harness.training.losses import use_loss

    model = tiny("llama", "AutoModelForCausalLM").cuda()
    ids = (torch.arange(34).view(2, 17) + 7).cuda()
    own = model(input_ids=ids, labels=ids).loss
    use_kernels(model, ("rms_norm", "swiglu", "rope"))
    use_loss(model, TrainSettings(loss="liger"))
    fused = model(input_ids=ids, labels=ids).loss
    fused.backward()
    restore()
    assert fused.item() == pytest.approx(own.item(), rel=1e-4)
    assert all(p.grad is not None for p in model.parameters())
