"""What a card's maker says of its speed."""

from __future__ import annotations

from harness.suite.frozen import Frozen
from harness.units import MIB


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


# Makers' papers, by the names that the table has for them. All rates are at the boost clock; what
# a paper prints "with sparsity" is halved. Reckoned: the paper prints the rate for another card of
# the family; multiprocessors x clock x operations a cycle, which gives what it prints for that one.
GA102 = "NVIDIA Ampere GA102 GPU Architecture"
AMPERE = f"NVIDIA's specifications of GeForce RTX 30; tensor cores reckoned as in {GA102}"
ADA = "NVIDIA Ada GPU Architecture, appendix"
ADA_LATER = f"NVIDIA's specifications of GeForce RTX 40; tensor cores reckoned as in {ADA}"
RTX50 = "NVIDIA RTX Blackwell GPU Architecture, appendices"
RTX50_LATER = f"NVIDIA's specifications of GeForce RTX 50; tensor cores reckoned as in {RTX50}"
SHEET = "NVIDIA's datasheet of the card"
TURING = "NVIDIA T4 datasheet; NVIDIA Turing GPU Architecture"
VOLTA = "NVIDIA V100 datasheet, SXM2 (PCIe: 112 TFLOP/s in fp16, 14.0 in fp32, 250 W)"
A100 = "NVIDIA A100 datasheet, SXM (PCIe: the same peaks, 1,555 and 1,935 GB/s, 250 and 300 W)"
H100 = "NVIDIA H100 datasheet, SXM"
H200 = "NVIDIA H200 datasheet, SXM; L2 as torch reports it"
GH200 = "NVIDIA GH200 datasheet, 96 GB of HBM3; power is the whole module's; L2 taken as an H200's"
B200 = "NVIDIA HGX B200 datasheet, an eighth of it; L2 of NVIDIA's Blackwell Tuning Guide"


def _sheet(
    multiprocessors: int, bandwidth: float, l2: float, bf16: float, fp16: float, tf32: float,
    fp32: float, power: float, source: str = "",
) -> Datasheet:  # fmt: skip
    """Return a datasheet from GB/s, MiB, TFLOP/s and watts."""
    return Datasheet(
        multiprocessors=multiprocessors, bandwidth=bandwidth * 1e9, l2=l2 * MIB, bf16=bf16 * 1e12,
        fp16=fp16 * 1e12, tf32=tf32 * 1e12, fp32=fp32 * 1e12, power=power, source=source,
    )  # fmt: skip


def sheet_of(bandwidth: float, l2: float, low: float, fp32: float) -> Datasheet:
    """Return a datasheet of a card of Ampere or later from what its buyer knows.

    Args:
        bandwidth: GB/s.
        l2: MiB.
        low: dense TFLOP/s in 16 bits with sums in fp32; tf32 is taken to have half.
        fp32: TFLOP/s without tensor cores.

    Raises:
        ValueError: one of them is not above 0.
    """
    if not min(bandwidth, l2, low, fp32) > 0:
        raise ValueError("a card's speed is above 0")
    # Multiprocessors of 256 operations a cycle at 1.8 GHz; no time depends on their number closely.
    several = max(1, round(fp32 * 1e12 / (256 * 1.8e9)))
    return _sheet(several, bandwidth, l2, low, low, low / 2, fp32, 0.0, "as it was said")


# By the names of `harness.forecasting.cards`. GeForce cards halve 16 bits where sums are in fp32,
# as torch's are; workstation and data-centre cards of the same chip do not. AMD's are left out:
# nothing is known here of how their kernels run.
DATASHEETS = {
    #                        SMs  GB/s   L2    bf16   fp16   tf32   fp32    W
    "rtx3060":         _sheet(28, 360, 3, 25.5, 25.5, 12.7, 12.7, 170, AMPERE),
    "rtx3070":         _sheet(46, 448, 4, 40.6, 40.6, 20.3, 20.3, 220, GA102),
    "rtx3080":         _sheet(68, 760, 5, 59.5, 59.5, 29.8, 29.8, 320, GA102),
    "rtx3080ti":       _sheet(80, 912, 6, 68.2, 68.2, 34.1, 34.1, 350, AMPERE),
    "rtx3090":         _sheet(82, 936, 6, 71.2, 71.2, 35.6, 35.6, 350, GA102),
    "rtx3090ti":       _sheet(84, 1008, 6, 80.0, 80.0, 40.0, 40.0, 450, AMPERE),
    "rtx4060":         _sheet(24, 272, 24, 30.2, 30.2, 15.1, 15.1, 115, ADA_LATER),
    "rtx4060ti-16":    _sheet(34, 288, 32, 44.1, 44.1, 22.1, 22.1, 165, ADA_LATER),
    "rtx4070":         _sheet(46, 504, 36, 58.3, 58.3, 29.1, 29.1, 200, ADA_LATER),
    "rtx4070ti-super": _sheet(66, 672, 48, 88.2, 88.2, 44.1, 44.1, 285, ADA_LATER),
    "rtx4080":         _sheet(76, 716.8, 64, 97.5, 97.5, 48.7, 48.7, 320, ADA),
    "rtx4080-super":   _sheet(80, 736, 64, 104.4, 104.4, 52.2, 52.2, 320, ADA_LATER),
    "rtx4090":         _sheet(128, 1008, 72, 165.2, 165.2, 82.6, 82.6, 450, ADA),
    "rtx5060ti-16":    _sheet(36, 448, 32, 47.4, 47.4, 23.7, 23.7, 180, RTX50_LATER),
    "rtx5070":         _sheet(48, 672, 48, 61.7, 61.7, 30.9, 30.9, 250, RTX50),
    "rtx5070ti":       _sheet(70, 896, 48, 87.9, 87.9, 43.9, 43.9, 300, RTX50),
    "rtx5080":         _sheet(84, 960, 64, 112.6, 112.6, 56.3, 56.3, 360, RTX50),
    "rtx5090":         _sheet(170, 1792, 96, 209.5, 209.5, 104.8, 104.8, 575, RTX50),
    "a4000":           _sheet(48, 448, 4, 76.7, 76.7, 38.3, 19.2, 140, SHEET),
    "a5000":           _sheet(64, 768, 6, 111.1, 111.1, 55.6, 27.8, 230, SHEET),
    "a6000":           _sheet(84, 768, 6, 154.8, 154.8, 77.4, 38.7, 300, SHEET),
    "l4":              _sheet(58, 300, 48, 121, 121, 60, 30.3, 72, SHEET),
    "l40s":            _sheet(142, 864, 96, 362, 362, 183, 91.6, 350, SHEET),
    "a10":             _sheet(72, 600, 6, 125, 125, 62.5, 31.2, 150, SHEET),
    "t4":              _sheet(40, 320, 4, 0, 65, 0, 8.1, 70, TURING),
    "v100-16":         _sheet(80, 900, 6, 0, 125, 0, 15.7, 300, VOLTA),
    "v100-32":         _sheet(80, 900, 6, 0, 125, 0, 15.7, 300, VOLTA),
    "a100-40":         _sheet(108, 1555, 40, 312, 312, 156, 19.5, 400, A100),
    "a100-80":         _sheet(108, 2039, 40, 312, 312, 156, 19.5, 400, A100),
    "h100":            _sheet(132, 3350, 50, 989, 989, 494, 67, 700, H100),
    "h200":            _sheet(132, 4800, 60, 989, 989, 494, 67, 700, H200),
    "gh200-96":        _sheet(132, 4000, 60, 989, 989, 494, 67, 1000, GH200),
    "b200":            _sheet(148, 8000, 126, 2250, 2250, 1125, 75, 1000, B200),
}  # fmt: skip
