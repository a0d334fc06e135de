"""The device's seconds: what binds, what the cache gives, what operators hide."""

from __future__ import annotations

import pytest
import torch

from harness.timing.clock import Clock, Machine
from harness.timing.datasheet import Datasheet
from harness.timing.device import FLOOR, HIT, WRITTEN, Traced, device_seconds
from harness.timing.kernels import COLUMN, LIST, TABLE, Cost
from harness.timing.rows import Row, Rows

MB = 1_000_000
SHEET = Datasheet(multiprocessors=100, bandwidth=1e12, l2=40e6, bf16=100e12, fp16=120e12,
                  tf32=50e12, fp32=20e12, power=300)  # fmt: skip
MACHINE = Machine(bandwidth=0.8, products=0.5, products_fp32=0.25)
CARD = Clock(device="card", capability=(8, 0), sheet=SHEET, machine=MACHINE)


def row(
    op: str = "aten::add", reads: dict[int, float] | None = None,
    writes: dict[int, float] | None = None, flops: int = 0,
    dtype: torch.dtype | None = torch.float32, cost: Cost | None = None, pieces: int = 1,
    shape: tuple[int, ...] = (),
) -> Row:  # fmt: skip
    """Return an operator that moves so many MB of storages."""
    moved = [
        tuple((key, int(size * MB)) for key, size in (held or {}).items())
        for held in (reads, writes)
    ]
    return Row(op, "forward", False, flops, dtype, *moved, False, pieces, shape,
               cost or TABLE.get(op.removeprefix("aten::"), Cost()))  # fmt: skip


def seconds(*rows: Row, clock: Clock = CARD, tf32: bool = False) -> list[float]:
    return [float(x) for x in device_seconds(Traced(Rows(rows)), clock, tf32)]


def test_bytes_or_flops_bind() -> None:
    moving, computing = seconds(
        row(reads={1: 100}, writes={2: 100}),
        row("aten::mm", reads={3: 100}, flops=10**10),
    )
    assert moving == pytest.approx(FLOOR + 200 * MB / 0.8e12)
    assert computing == pytest.approx(FLOOR + 10**10 / (0.25 * 20e12))


@pytest.mark.parametrize(
    ("dtype", "tf32", "rate"),
    [
        (torch.bfloat16, False, 0.5 * 100e12),
        (torch.float16, False, 0.5 * 120e12),
        (torch.int8, False, 0.5 * 240e12),
        (torch.float32, False, 0.25 * 20e12),
        (torch.float32, True, 0.5 * 50e12),
        (torch.float64, False, 0.25 * 20e12 / 64),
    ],
)
def test_products_take_the_rate_of_their_type(dtype: torch.dtype, tf32: bool, rate: float) -> None:
    (found,) = seconds(row("aten::mm", flops=10**12, dtype=dtype), tf32=tf32)
    assert found == pytest.approx(FLOOR + 10**12 / rate)


def test_cards_that_have_no_tensor_cores_of_a_type_compute_as_in_fp32() -> None:
    old = SHEET.model_copy(update={"bf16": 0.0, "tf32": 0.0})
    clock = CARD.model_copy(update={"sheet": old, "capability": (7, 5)})
    for dtype, tf32 in ((torch.bfloat16, False), (torch.float32, True)):
        (found,) = seconds(row("aten::mm", flops=10**12, dtype=dtype), clock=clock, tf32=tf32)
        assert found == pytest.approx(FLOOR + 10**12 / (0.25 * 20e12))


def test_what_was_used_last_comes_from_the_cache() -> None:
    first, again, after = seconds(row(reads={1: 10}), row(reads={1: 10}), row(reads={1: 10, 2: 25}))
    assert first == pytest.approx(FLOOR + 10 * MB / 0.8e12)
    assert again == pytest.approx(FLOOR + 10 * MB / HIT / 0.8e12)
    assert after == pytest.approx(FLOOR + (25 + 10 / HIT) * MB / 0.8e12)
    # 30 MB are kept: 3 drives 1 out, and 1, read again, drives 2 out.
    *_, both = seconds(row(reads={1: 10, 2: 20}), row(reads={3: 5}), row(reads={1: 10, 2: 20}))
    assert both == pytest.approx(FLOOR + 30 * MB / 0.8e12)


def test_a_large_tensor_drives_all_others_out() -> None:
    *_, found = seconds(row(reads={1: 10}), row(reads={2: 25}), row(reads={1: 10}))
    assert found == pytest.approx(FLOOR + 10 * MB / 0.8e12)


def test_small_writes_are_partly_written_over_in_the_cache() -> None:
    small, large = seconds(row(writes={1: 10}), row(writes={2: 30}))
    share = WRITTEN + (1 - WRITTEN) / HIT
    assert small == pytest.approx(FLOOR + 10 * share * MB / 0.8e12)
    assert large == pytest.approx(FLOOR + 30 * MB / 0.8e12)


def test_operators_that_hide_kernels() -> None:
    plain, blocks, transform, solve = seconds(
        row(),
        row("aten::block_diag", pieces=70),
        row("aten::_fft_c2c", reads={1: 100}, pieces=2),
        row("aten::_linalg_solve_ex", shape=(64, 64)),
    )
    assert plain == pytest.approx(FLOOR)
    assert blocks == pytest.approx(70 * FLOOR)
    assert transform == pytest.approx(4 * FLOOR + 2 * 100 * MB / 0.8e12)
    assert solve == pytest.approx(8 * FLOOR + 64 * COLUMN)


def test_lists_launch_by_tensors_and_by_entries_and_are_slower() -> None:
    def listed(pieces: int, size: float) -> float:
        (found,) = seconds(row("aten::_foreach_mul_", writes={1: size}, cost=LIST, pieces=pieces))
        return found

    assert listed(10, 0) == pytest.approx(FLOOR)
    assert listed(480, 0) == pytest.approx(10 * FLOOR)
    entries = 8400 * MB / 4
    assert listed(1, 8400) == pytest.approx(
        entries / (320 * 65536) * FLOOR + 8400 * MB / (0.8 * 0.8e12)
    )


def test_unmeasured_shares_are_those_of_the_architecture() -> None:
    unknown = Machine(bandwidth=0.8)
    of = {
        name: Clock(device="x", capability=capability, sheet=sheet, machine=unknown)
        for name, capability, sheet in (
            ("ada", (8, 9), SHEET.model_copy(update={"fp32": 25e12})),
            ("hopper", (9, 0), SHEET),
            ("half rate", (8, 9), SHEET.model_copy(update={"fp32": 60e12})),
        )
    }
    low, wide = row("aten::mm", flops=10**13, dtype=torch.bfloat16), row("aten::mm", flops=10**12)
    slow = {name: seconds(low, clock=clock)[0] for name, clock in of.items()}
    assert slow["half rate"] < slow["hopper"] < slow["ada"]
    assert seconds(wide, clock=of["ada"])[0] > seconds(wide, clock=of["hopper"])[0]
