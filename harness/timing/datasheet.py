"""What a card's maker says of its speed."""

from __future__ import annotations

from harness.suite.frozen import Frozen


class Datasheet(Frozen):
    """Peaks of one card; FLOP/s are dense, bytes are bytes.

    Attributes:
        multiprocessors: their number.
        bandwidth: of its memory, bytes a second.
        l2: bytes of its L2 cache.
        bf16, fp16: of its tensor cores, with sums in fp32; a card without bf16 there has 0.
        tf32: of its tensor cores; 0 where it has none.
        fp32: without tensor cores.
        power: watts at most, as sold.
        source: where the figures are from.
    """

    multiprocessors: int
    bandwidth: float
    l2: float
    bf16: float
    fp16: float
    tf32: float
    fp32: float
    power: float
    source: str = ""


def _sheet(
    multiprocessors: int, bandwidth: float, l2: float, bf16: float, fp16: float, tf32: float,
    fp32: float, power: float, source: str = "",
) -> Datasheet:  # fmt: skip
    """Return a datasheet from GB/s, MB, TFLOP/s and watts."""
    return Datasheet(
        multiprocessors=multiprocessors, bandwidth=bandwidth * 1e9, l2=l2 * 1e6, bf16=bf16 * 1e12,
        fp16=fp16 * 1e12, tf32=tf32 * 1e12, fp32=fp32 * 1e12, power=power, source=source,
    )  # fmt: skip


# By the names of `harness.forecasting.cards`.
DATASHEETS = {
    "l40s": _sheet(142, 864, 96, 362, 362, 183, 91.6, 350),
    "h100": _sheet(132, 3350, 50, 989, 989, 494, 67, 700),
    "a6000": _sheet(84, 768, 6, 154.8, 154.8, 77.4, 38.7, 300),
    "rtx4090": _sheet(128, 1008, 72, 165.2, 165.2, 82.6, 82.6, 450),
}
