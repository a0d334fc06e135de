"""What is written down of an operator, and what of all is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.metering.launches import heard_by, launch
from harness.timing.kernels import LIST, cost_of
from harness.timing.rows import Row, Rows
from harness.timing.trace import Tracer

ATEN = torch.ops.aten


class Watched(TorchDispatchMode):
    """Has a tracer write down what is dispatched."""

    def __init__(self, device: str = "meta") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer, self.part = Tracer(), "forward"
        self.tracer.device = device
        self.tracer.begin("step 1", 1, 1)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.tracer(func, args, kwargs or {}, out, self.part, 0)
        return out

    @property
    def rows(self) -> Rows:
        return self.tracer.rows["step 1"]


def hollow(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def traced(call: Any) -> list[Row]:
    """Return what a call dispatches, without views."""
    with Watched() as watched:
        call()
    return [row for row in watched.rows if not row.view]


def moved(row: Row) -> tuple[list[int], list[int]]:
    return [size for _, size in row.reads], [size for _, size in row.writes]


def test_a_plain_operator_reads_its_inputs_and_writes_its_output() -> None:
    a, b = hollow(8, 16), hollow(16)
    (row,) = traced(lambda: a + b)
    assert (row.op, row.part, row.dtype) == ("aten::add", "forward", torch.float32)
    assert moved(row) == ([512, 64], [512])
    assert len({key for key, _ in (*row.reads, *row.writes)}) == 3


def test_what_is_expanded_is_there_once_and_what_is_replaced_is_not_read() -> None:
    a, wide = hollow(8, 16), hollow(1, 16).expand(8, 16)
    (row,) = traced(lambda: a.mul(wide))
    assert moved(row)[0] == [512, 64]
    (copy,) = traced(lambda: a.copy_(wide))
    assert moved(copy) == ([64], [512])
    (sum_,) = traced(lambda: a.add_(1.0))
    assert moved(sum_) == ([512], [512])
    assert sum_.reads[0][0] == sum_.writes[0][0]


def test_by_index_only_what_is_taken_is_moved() -> None:
    table, ids = hollow(1000, 16), hollow(4, dtype=torch.int64)
    (row,) = traced(lambda: torch.nn.functional.embedding(ids, table))
    assert moved(row) == ([256, 32], [256])
    (add,) = traced(lambda: table.index_add_(0, ids, hollow(4, 16)))
    assert moved(add)[1] == [256]
    assert max(moved(add)[0]) == 256


def test_views_and_tensors_without_values_launch_nothing() -> None:
    with Watched() as watched:
        a = hollow(8, 16)
        a.t().view(16, 8).detach()
        torch.empty_like(a)
    assert len(watched.rows) >= 4
    assert all(row.view and not row.reads for row in watched.rows)


def test_the_host_waits_for_values_of_the_device_alone() -> None:
    a, counter = hollow(8), torch.tensor(1.0)
    with Watched() as watched:
        counter.item()
        counter.add_(1.0)
    assert all(row.view for row in watched.rows)
    with Watched() as watched, pytest.raises(RuntimeError):
        a.to("cpu")
    found = Watched()
    found.tracer(ATEN._local_scalar_dense.default, (hollow(),), {}, 1.0, "forward", 0)
    found.tracer(ATEN.nonzero.default, (a,), {}, hollow(3, 1, dtype=torch.int64), "forward", 0)
    mask = hollow(8, dtype=torch.bool)
    found.tracer(ATEN.index.Tensor, (a, [mask]), {}, hollow(3), "forward", 0)
    found.tracer(ATEN.index.Tensor, (a, [hollow(3, dtype=torch.int64)]), {}, a, "forward", 0)
    found.tracer(ATEN._to_copy.default, (a,), {}, torch.empty(8), "forward", 0)
    found.tracer(ATEN._to_copy.default, (a,), {}, hollow(8), "forward", 0)
    assert [row.waits for row in found.rows] == [True, True, True, False, True, False]


def test_where_the_host_s_tensors_look_alike_its_counters_are_known_by_their_birth() -> None:
    with Watched("cpu") as watched:
        counter = torch.tensor(1.0)
        counter.item()
        torch.ones(()).item()
    assert [row.waits for row in watched.rows if "scalar_dense" in row.op] == [False, True]


def test_lists_count_their_tensors() -> None:
    lists = [hollow(4), hollow(8)], [hollow(4), hollow(8)]
    (row,) = traced(lambda: torch._foreach_add_(*lists))
    assert (row.pieces, row.cost) == (2, LIST)
    assert moved(row) == ([16, 32, 16, 32], [16, 32])
    (blocks,) = traced(lambda: torch.block_diag(hollow(2, 2), hollow(2, 2), hollow(2, 2)))
    assert blocks.pieces == blocks.cost.each * 3


def test_passes_begin_where_forward_follows_backward() -> None:
    watched, a = Watched(), hollow(4)
    with watched:
        for part in ("forward", "backward", "forward", "backward", "optimizer"):
            watched.part = part
            a.neg()
            a.t()
    assert watched.tracer.passes["step 1"] == [0, 4]
    assert [row.part for row in watched.rows[6:]] == [
        "backward",
        "backward",
        "optimizer",
        "optimizer",
    ]


def test_a_library_s_kernel_is_heard_of() -> None:
    tracer, a = Tracer(), hollow(4, 4, dtype=torch.bfloat16)
    with heard_by(lambda kernel: tracer.launch(kernel, "backward")):
        launch("lib::first", [a], [a])  # before anything is timed
        tracer.begin("step 1", 1, 1)
        launch("lib::product", [a, a], [hollow(4, 4)], flops=128, waits=True)
        launch("lib::odd", [a], [a], known=False)
    launch("lib::unheard", [a], [a])
    product, odd = tracer.rows["step 1"]
    assert (product.op, product.flops, product.dtype) == ("lib::product", 128, torch.bfloat16)
    assert (product.waits, product.part, odd.waits) == (True, "backward", False)
    assert tracer.unknown == {"lib::odd"}


def test_what_is_known_is_pointwise_a_reduction_a_product_or_in_the_table() -> None:
    known = ("add.Tensor", "sum.dim_IntList", "mm.default", "_softmax.default", "where.self_out",
             "masked_fill_.Scalar", "_foreach_sqrt.default", "_fused_adamw_.default")  # fmt: skip
    for name in known:
        packet, _, form = name.partition(".")
        assert cost_of(getattr(getattr(ATEN, packet), form)) is not None, name
    assert cost_of(ATEN._ctc_loss.default) is None
    watched = Watched()
    out = (hollow(1), hollow(1))
    watched.tracer(ATEN._ctc_loss.default, (hollow(4, 1, 8),), {}, out, "forward", 0)
    assert watched.tracer.unknown == {"aten::_ctc_loss"}


def test_packed_rows_are_the_rows() -> None:
    rows = [
        Row("a", "forward", True, 0, None, (), ()),
        Row("b", "forward", False, 6, torch.float32, ((1, 8), (2, 4)), ((3, 2),), True),
        Row("a", "forward", True, 0, None, (), ()),
    ]
    packed = Rows(rows)
    assert list(packed) == rows
    assert packed[-2] == packed[1] == rows[1]
    assert packed[1:] == rows[1:]
    assert len(packed.kinds) == 2
