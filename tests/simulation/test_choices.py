"""CUDA's choices, as far as they can be told without a GPU."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from asked import SM86, forked, request
from torch.nn import functional

from harness.errors import UserError
from harness.metering.events import summarize
from harness.metering.ledger import Ledger
from harness.simulation.answers import KnownAnswers
from harness.simulation.attention import choose_kernel
from harness.simulation.choices import choices_of
from harness.simulation.observer import Observer
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU, Target

VOLTA, HOPPER = (Target(kind="cuda", capability=c) for c in ((7, 0), (9, 0)))
HALF, FULL = torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ("target", "dtype", "mask", "heads", "dim", "kernel"),
    [
        (SM86, HALF, False, (4, 4), 64, "flash"),
        (SM86, HALF, True, (4, 4), 64, "efficient"),
        (SM86, FULL, False, (4, 4), 64, "efficient"),
        (SM86, HALF, True, (4, 1), 64, "math"),
        (SM86, HALF, False, (4, 1), 64, "flash"),
        (SM86, HALF, False, (4, 4), 256, "efficient"),
        (HOPPER, HALF, False, (4, 4), 256, "flash"),
        (SM86, HALF, True, (4, 4), 60, "math"),
        (VOLTA, torch.float16, False, (4, 4), 64, "efficient"),
        (VOLTA, HALF, False, (4, 4), 64, "math"),
        (CPU, FULL, True, (4, 4), 64, "cpu"),
    ],
)
def test_attention_kernel(
    target: Target, dtype: torch.dtype, mask: bool, heads: tuple[int, int], dim: int, kernel: str
) -> None:
    query = torch.empty(2, heads[0], 8, dim, dtype=dtype, device="meta", requires_grad=True)
    key = torch.empty(2, heads[1], 8, dim, dtype=dtype, device="meta")
    given = torch.empty(2, 1, 8, 8, dtype=torch.bool, device="meta") if mask else None
    assert choose_kernel(target, query, key, key, given, 0.0) == kernel


def autocast_dtypes() -> dict[str, torch.dtype]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), choices_of(SM86, True), torch.autocast("cpu", dtype=HALF):
        x = torch.randn(4, 8)
        y = functional.linear(x, torch.randn(8, 8))
        return {
            "linear": y.dtype,
            "layer_norm": functional.layer_norm(y, (8,)).dtype,
            "softmax": y.softmax(-1).dtype,
            "sum": y.sum().dtype,
            "pow": y.pow(2).dtype,
            "gelu": functional.gelu(y).dtype,
            "cross_entropy": functional.cross_entropy(y, torch.zeros(4, dtype=torch.int64)).dtype,
        }


def test_autocast_follows_the_policy_of_cuda() -> None:
    found = forked(autocast_dtypes)
    assert {name for name, dtype in found.items() if dtype == HALF} == {"linear", "gelu"}


def softmax_bytes(dtype: torch.dtype, autocasts: bool) -> int:
    from torch._subclasses.fake_tensor import FakeTensorMode

    device, asked = ("cpu", None) if autocasts else ("meta", torch.float32)
    with ExitStack() as stack:
        if autocasts:
            stack.enter_context(FakeTensorMode())
        stack.enter_context(choices_of(SM86, autocasts))
        stack.enter_context(torch.autocast("cpu", dtype=dtype, enabled=autocasts))
        ledger = stack.enter_context(Ledger(device=device))
        scores = torch.empty(1024, dtype=dtype, device=device)
        functional.softmax(scores, dim=-1, dtype=asked)
    return summarize(ledger.events).peak


@pytest.mark.parametrize("autocasts", [False, True])
def test_softmax_in_fp32_copies_bf16_and_not_fp16(autocasts: bool) -> None:
    """SoftMax.cpp: softmax to fp32 is one kernel of Half alone."""
    assert forked(softmax_bytes, torch.float16, autocasts) == 1024 * (2 + 4)
    assert forked(softmax_bytes, torch.bfloat16, autocasts) == 1024 * (2 + 4 + 4)


def softmax_backward_bytes() -> int:
    observer = Observer(SM86)
    with choices_of(SM86, False), Ledger(device="meta", observe=observer) as ledger:
        scores = torch.empty(4, 1024, device="meta", requires_grad=True)
        probabilities = scores.softmax(-1)
        (_gradient,) = torch.autograd.grad(probabilities, scores, torch.empty_like(probabilities))
    return summarize(ledger.events).peak


def test_softmax_s_backward_multiplies_first() -> None:
    """SoftMax.cu: scores, result, both gradients, and grad * output."""
    assert forked(softmax_backward_bytes) == 5 * 4 * 4 * 1024


def dropout_bytes() -> int:
    with choices_of(SM86, False), Ledger(device="meta") as ledger:
        x = torch.empty(1024, device="meta", requires_grad=True)
        out = functional.dropout(x, 0.1)  # noqa: F841 - keeps its mask alive
    return summarize(ledger.events).peak


def test_dropout_keeps_one_byte_an_element() -> None:
    assert forked(dropout_bytes) == 1024 * (4 + 4 + 1)


def ask_a_value() -> None:
    with KnownAnswers():
        bool(torch.empty((), device="meta") > 0)


def test_a_value_at_an_unknown_place_is_an_error_that_names_it() -> None:
    with pytest.raises(UserError, match=r"test_choices\.py:\d+ in ask_a_value"):
        forked(ask_a_value)


@pytest.mark.parametrize(
    ("model", "family", "method", "train"),
    [
        ("tiny-bert", "classification", "full", {}),
        ("tiny-bert", "classification", "lora", {"gradient_checkpointing": True}),
        ("tiny-deberta-v2", "classification", "lora", {"attention": "eager"}),
        ("tiny-gpt2", "causal_lm", "full", {"precision": "bf16-weights"}),
        ("tiny-llama", "causal_lm", "lora", {"outputs": "kept"}),
        ("tiny-bart", "seq2seq", "lora", {}),
        ("tiny-bart", "classification", "lora", {}),
        ("tiny-vit", "image", "lora", {}),
        ("tiny-swin", "image", "full", {"precision": "bf16-weights"}),
    ],
)
def test_both_stand_ins_agree(
    model: str, family: str, method: str, train: dict[str, object]
) -> None:
    asked = request(model, method, family=family, **train)
    meta, cpu = (
        forked(forecast, asked.model_copy(update={"stand_in": name})) for name in ("meta", "cpu")
    )
    # On the stand-in `cpu` a model's scalars on the host count, too, 512 B each (DeBERTa: 12).
    assert abs(meta.peak_allocated - cpu.peak_allocated) <= 8192
    assert abs(meta.at_rest - cpu.at_rest) <= 8192
    assert meta.flops_step == cpu.flops_step


@pytest.mark.parametrize(
    ("model", "stand_in"), [("tiny-bert", "meta"), ("tiny-bert", "cpu"), ("tiny-gpt2", "meta")]
)
def test_without_padding_attention_needs_no_mask(model: str, stand_in: str) -> None:
    family = "classification" if model == "tiny-bert" else "causal_lm"
    padded, whole = (
        forked(forecast, request(model, family=family, mask=mask).model_copy(
            update={"stand_in": stand_in}))
        for mask in (True, False)
    )  # fmt: skip
    assert whole.peak_allocated < padded.peak_allocated


def test_autocast_costs_what_its_copies_cost() -> None:
    """Frozen weights are cast again at each use; activations of products halve."""
    plain = forked(forecast, request("tiny-bert", "lora", attention="eager"))
    half = forked(forecast, request("tiny-bert", "lora", attention="eager", precision="bf16"))
    assert half.split["activations"] < plain.split["activations"]
    assert half.split["weights.base"] == plain.split["weights.base"]
