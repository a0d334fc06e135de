"""What kernels take for themselves: the table against an H200 and against its page."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import kernel_temporaries
import pytest
import torch
from asked import forked, request
from torch import Tensor

from harness.simulation.fake import fake_run
from harness.simulation.kernels.attention import efficient_backward
from harness.simulation.kernels.table import BY_OPERATOR, TABLE
from harness.simulation.kernels.without import WITHOUT
from harness.simulation.observer import Observer
from harness.simulation.scratch import scratch_bytes
from harness.simulation.target import Target

HOPPER = Target(kind="cuda", capability=(9, 0))
MIB = 2**20
# The allocator counts up to 1 MiB of a block that it does not split: so far are measurements apart.
UNSPLIT = MIB
# Of cuDNN's choices the copies are known, and not the partial sums.
CHOSEN = 17 * MIB
# Seen to need nothing, or less, and counted all the same: cuDNN's kernels for patches of 4 x 4.
MORE = {"conv patches 4", "conv patches 4 backward", "conv patches 4 backward with inputs"}


def measured() -> dict[tuple[str, str], int]:
    with Path("reports/kernels/temporaries.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {(row["case"], row["dtype"]): int(row["temporary (B)"]) for row in rows}


def calls() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Yield the benchmark's calls of known operators, on tensors without values."""
    with mock.patch.object(kernel_temporaries, "DEVICE", "meta"):
        for part in (kernel_temporaries.softmaxes, kernel_temporaries.indexed,
                     kernel_temporaries.convolutions, kernel_temporaries.products,
                     kernel_temporaries.attentions):  # fmt: skip
            for name, func, args, _ in part():
                if func in BY_OPERATOR:
                    yield name, func, args


def test_the_table_says_what_a_gpu_showed() -> None:
    seen, found = measured(), set()
    for name, func, args in calls():
        dtype = next(str(a.dtype) for a in args if isinstance(a, Tensor)).removeprefix("torch.")
        out = func(*args) if name.startswith("conv") else None
        said, was = scratch_bytes(func, args, out, HOPPER), seen[name, dtype]
        found |= set(BY_OPERATOR[func].operators)
        room = CHOSEN if "fitted" in BY_OPERATOR[func].known else UNSPLIT
        assert said >= was - room, (name, dtype, said, was)
        assert said <= was + room or name in MORE, (name, dtype, said, was)
    on_a_gpu = [kernel for kernel in TABLE if kernel.known != "read"]
    assert all(found & set(kernel.operators) for kernel in on_a_gpu), "and each that is said to be"


@pytest.mark.parametrize(
    ("case", "dtype"),
    [("embedding backward, 4096 ids", "float32"), ("embedding backward, 65536 ids", "bfloat16"),
     ("flash 300x128, grouped backward", "bfloat16"), ("flash 256x64 backward", "float16"),
     ("efficient 256x64 backward", "float32"), ("efficient 300x128 backward", "float32"),
     ("efficient 300x64 backward", "bfloat16"), ("softmax scores backward", "float16")],
)  # fmt: skip
def test_what_is_read_in_the_source_is_exact(case: str, dtype: str) -> None:
    (said,) = {
        scratch_bytes(func, args, None, HOPPER)
        for name, func, args in calls()
        if name == case and str(args[0].dtype) == f"torch.{dtype}"
    }
    assert said == measured()[case, dtype]


def test_cards_of_little_shared_memory_keep_gradients_of_keys_elsewhere() -> None:
    """kernel_backward.h: tiles of 64 rows do not hold a head dim of 128 in registers."""
    q = torch.empty(1, 12, 2048, 128, dtype=torch.float16, device="meta")
    small, large = (
        efficient_backward(q, q, q, q, 0.0, Target(kind="cuda", capability=capability))
        for capability in ((7, 5), (8, 0))
    )
    splits = 200 // 12
    assert small - large == 4 * 12 * splits * 64 * 2 * 128 + 12 * (64 - 16) * 16


def operators_met(asked: Any) -> set[str]:
    """Return the names of all operators of a forecast."""
    met: set[str] = set()

    def note(self: Observer, func: Any, args: Any, kwargs: Any, out: Any) -> int:
        if func.namespace == "aten":
            met.add(func.name().removeprefix("aten::"))
        return 0

    with mock.patch.object(Observer, "__call__", note):
        fake_run(asked)
    return met


@pytest.mark.parametrize(
    ("model", "family", "method", "train"),
    [
        ("tiny-llama", "causal_lm", "full", {"attention": "eager", "precision": "bf16-weights"}),
        ("tiny-bert", "classification", "lora", {"precision": "fp16", "clip": 1.0}),
        ("tiny-deberta-v2", "classification", "full", {"attention": "eager"}),
        ("tiny-swin", "image", "full", {}),
        ("tiny-bert", "classification", "full", {"optimizer": "adamw-plain"}),
        ("tiny-bert", "classification", "full", {"optimizer": "adafactor"}),
        ("tiny-bert", "classification", "full", {"optimizer": "muon"}),
        (
            "tiny-llama", "causal_lm", "full",
            {"loss": "liger", "liger_kernels": ("rms_norm", "swiglu", "rope")},
        ),
    ],
)  # fmt: skip
def test_somebody_has_looked_at_every_operator(
    model: str, family: str, method: str, train: dict[str, Any]
) -> None:
    met = forked(operators_met, request(model, method, family=family, **train))
    listed = {f"{func.name().removeprefix('aten::')}" for func in BY_OPERATOR}
    without = set().union(*(kind.operators for kind in WITHOUT))
    unknown = {name for name in met - listed if name.partition(".")[0] not in without}
    assert not unknown, "look them up in torch's CUDA sources and list them"


def test_readers_see_the_same_table() -> None:
    text = Path("docs/kernels.md").read_text()
    for kernel in TABLE:
        names = ", ".join(f"`{name.removesuffix('.default')}`" for name in kernel.operators)
        row = f"| {names} | {kernel.takes} | {kernel.source} | {kernel.known} |"
        assert row in text, row
    for kind in WITHOUT:
        names = ", ".join(f"`{name}`" for name in sorted(kind.operators))
        row = f"| {kind.what}: {names} | {kind.source} | {kind.known} |"
        assert row in text, row
    assert text.count("\n| `") == len(TABLE)
