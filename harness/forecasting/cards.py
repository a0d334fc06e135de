"""Cards to forecast for, and what their kernels depend on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from harness.errors import UserError
from harness.forecasting.calibrated import calibration, told_of_cpu
from harness.models.attention import FLASH
from harness.simulation.target import CPU, Target
from harness.suite.optimizers import FP8_CAPABILITY
from harness.timing.clock import Clock, Machine
from harness.timing.datasheet import DATASHEETS, Datasheet, sheet_of
from harness.units import GIB, MIB
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings

# The first capability with bfloat16 and TF32 in its tensor cores, and the least of flash-attn 2.
# Below it torch computes bf16 by way of fp32, tf32 is fp32, and flash_attention_2 does not run.
AMPERE = (8, 0)
NO_CARD = (0, 0)  # in place of the CPU's
TENSORS = "its tensors alone; what Python and the libraries take comes on top"
# Capabilities that choose the same kernels with the same scratch memory as a lower one.
_ALIKE = {(8, 9): (8, 6)}
# Bytes of a process's CUDA context with torch's kernels loaded as they are first used, beside
# what the caching allocator holds: about this much, by architecture and driver. Measured on an H100
# (742 to 754 MiB; torch 2.11+cu130, driver 580), assumed for the others; measure yours: NVML's
# figure for a process minus its reserved bytes.
CONTEXT = {7: 320 * MIB, 8: 420 * MIB, 9: 750 * MIB}
# Where a card's bytes come from: torch's own words on such a card, in this project's runs or in
# what others wrote; or those of cards of the same size and generation.
Origin = Literal["read", "assumed"]
# What torch calls the compute capability of AMD's cards are numbers of another kind (gfx90a: 9.0,
# gfx942: 9.4); no kernel of theirs has been looked at.
AMD = "an AMD card's kernels, scratch memory and context are taken to be those of a Hopper"


@dataclass(frozen=True)
class Card:
    """A card to forecast for.

    Attributes:
        name: as `--gpu` takes it.
        usable: bytes that torch sees as the device's total memory, context included.
        capability: CUDA compute capability.
        context: bytes of the CUDA context; `usable` minus it is what the allocator may reserve.
        origin: of `usable`.
        note: what else is assumed of it.
        threads: of torch, where it is this machine's CPU; None: it is a card.
        sheet: of a custom card's speed.
        calibrated: its times are of this machine, if that was measured; see `as_sold`.
    """

    name: str
    usable: int
    capability: tuple[int, int]
    context: int
    origin: Origin = "read"
    note: str = ""
    threads: int | None = None
    sheet: Datasheet | None = None
    calibrated: bool = True

    def as_sold(self) -> Card:
        """Return the card in the reference machine: its times mean the same everywhere."""
        return replace(self, calibrated=False)

    @property
    def capacity(self) -> int:
        """Bytes that the allocator may reserve."""
        return self.usable - self.context

    @property
    def clock(self) -> Clock | None:
        """What steps are timed with; None: its speed is not known."""
        measured = calibration() if self.calibrated else None
        if self.threads is not None:
            processor = measured.processor(self.threads) if measured else None
            machine = Machine(processor=processor, name=measured.name if measured else "")
            clock = Clock(device="cpu", capability=NO_CARD, sheet=None, machine=machine)
            return clock if processor else None
        sheet = self.sheet or DATASHEETS.get(self.name)
        if sheet is None:
            return None
        machine = measured.machine(self.name) if measured else Machine()
        return Clock(device=self.name, capability=self.capability, sheet=sheet, machine=machine)

    @property
    def assumptions(self) -> list[str]:
        """What a verdict on the card assumes of it, in words."""
        bytes_too = f"{self.name}: its memory is that of cards of its size and generation"
        told = [bytes_too] if self.origin == "assumed" else []
        told += [f"{self.name}: {self.note}"] if self.note else []
        measured = calibration() if self.calibrated else None
        if self.threads is not None:
            told += told_of_cpu(measured, self.name, self.threads)
        elif measured is not None and self.clock is not None:
            told.append(measured.told(self.name))
        return told

    def lacks(self, train: TrainSettings) -> list[str]:
        """Return what the settings want and the card does not have: its bytes are a guess then."""
        used = set() if self.threads else {train.dtypes.weights, train.dtypes.compute}
        wanted = {
            "bf16": ("bf16" in used, AMPERE),
            "tf32": ("tf32" in used, AMPERE),
            "flash attention": (train.attention == FLASH, AMPERE),
            "fp8": (train.optimizer == "adamw-torchao-fp8", FP8_CAPABILITY),
        }
        return [n for n, (asked, least) in wanted.items() if asked and self.capability < least]


def _card(
    name: str,
    gib: float,
    capability: tuple[int, int],
    origin: Origin = "read",
    note: str = "",
) -> Card:
    context = CONTEXT.get(capability[0], CONTEXT[9])
    return Card(name, round(gib * GIB), capability, context, origin, note)


# GiB that `torch.cuda.get_device_properties(0).total_memory` reports on Linux, ECC on where it is
# the default. Windows reports the round number (8, 12, 16, 24), of which less can be had.
CARDS = {
    card.name: card
    for card in (
        _card("rtx3060", 11.75, (8, 6)),
        _card("rtx3070", 7.78, (8, 6)),
        _card("rtx3080", 9.78, (8, 6)),
        _card("rtx3080ti", 11.75, (8, 6), "assumed"),
        _card("rtx3090", 23.69, (8, 6)),
        _card("rtx3090ti", 23.69, (8, 6), "assumed"),
        _card("rtx4060", 7.63, (8, 9), "assumed"),
        _card("rtx4060ti-16", 15.57, (8, 9), "assumed"),
        _card("rtx4070", 11.62, (8, 9), "assumed"),
        _card("rtx4070ti-super", 15.57, (8, 9), "assumed"),
        _card("rtx4080", 15.70, (8, 9)),
        _card("rtx4080-super", 15.57, (8, 9), "assumed"),
        _card("rtx4090", 23.65, (8, 9)),
        _card("rtx5060ti-16", 15.46, (12, 0), "assumed"),
        _card("rtx5070", 11.50, (12, 0), "assumed"),
        _card("rtx5070ti", 15.46, (12, 0), "assumed"),
        _card("rtx5080", 15.46, (12, 0), "assumed"),
        _card("rtx5090", 31.36, (12, 0)),
        _card("a4000", 15.61, (8, 6)),
        _card("a5000", 23.68, (8, 6), "assumed"),
        _card("a6000", 47.54, (8, 6)),
        _card("l4", 22.05, (8, 9)),
        _card("l40s", 44.40, (8, 9)),
        _card("a10", 21.99, (8, 6)),
        _card("t4", 14.75, (7, 5)),
        _card("v100-16", 15.77, (7, 0)),
        _card("v100-32", 31.74, (7, 0)),
        _card("a100-40", 39.39, (8, 0)),
        _card("a100-80", 79.15, (8, 0)),
        _card("h100", 79.10, (9, 0)),
        _card("h200", 139.80, (9, 0)),
        _card("gh200-96", 94.50, (9, 0), "assumed"),
        _card("b200", 178.35, (10, 0)),
        _card("mi250x", 63.98, (9, 0), "read", f"one of its two dies; {AMD}"),
        _card("mi300x", 191.69, (9, 4), "read", AMD),
    )
}


def have_bf16(cards: Iterable[Card]) -> bool | None:
    """Tell whether the cards compute in bf16; None: some do and some do not."""
    modern = {card.capability >= AMPERE or card.threads is not None for card in cards}
    return modern.pop() if len(modern) == 1 else None


def find_card(text: str) -> Card:
    """Return a card by name, this machine's CPU (`cpu`, `cpu:1` with one thread) or a custom one.

    A custom one is `custom:GIB:CAPABILITY` such as `custom:11.6:8.6`, and may have its speed, too.

    Raises:
        UserError: no such card.
    """
    kind, *rest = text.strip().lower().split(":")
    if kind == "custom":
        return _custom(text, rest)
    if kind == "cpu" and (not rest or (len(rest) == 1 and rest[0].isdecimal() and int(rest[0]))):
        return this_cpu(int(rest[0]) if rest else None)
    if kind not in CARDS or rest:
        known = [*CARDS, "cpu", "cpu:1", "custom:11.6:8.6"]
        raise UserError(f"--gpu {text}: unknown card; {nearest(kind, known)}")
    return CARDS[kind]


def _custom(text: str, rest: list[str]) -> Card:
    """Return a custom card: its size and capability, and its speed if it is said.

    Raises:
        UserError: it is said otherwise.
    """
    try:
        size, capability, *speed = rest
        major, minor = capability.split(".")
        sheet = sheet_of(*(float(figure) for figure in speed)) if speed else None
        card = _card("custom", float(size), (int(major), int(minor)))
        return replace(card, name=text, sheet=sheet)
    except (ValueError, TypeError):
        raise UserError(
            f"--gpu {text}: expected custom:GIB:CAPABILITY, such as custom:11.6:8.6, or with GB/s, "
            "MiB of L2, dense TFLOP/s in 16 bits and in fp32: custom:23.7:8.6:936:6:71.2:35.6"
        ) from None


def this_cpu(threads: int | None = None) -> Card:
    """Return this machine's CPU as a card.

    Args:
        threads: of torch; None: as many as it takes by itself, `OMP_NUM_THREADS` or the cores.
    """
    from psutil import virtual_memory

    name = "cpu" if threads is None else f"cpu:{threads}"
    usable = int(virtual_memory().total)
    return Card(name, usable, NO_CARD, 0, note=TENSORS, threads=threads or default_threads())


def default_threads() -> int:
    """Return how many threads torch takes on this machine, without asking it."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(said) if said.isdecimal() and int(said) else len(os.sched_getaffinity(0))


def target_of(card: Card) -> Target:
    """Return what the card's kernels depend on."""
    return CPU if card.threads is not None else canonical(card.capability)


def clocks_of(card: Card) -> tuple[Clock, ...]:
    """Return the card's clock, and those of the known cards that take the same steps.

    A step is the work, and a few milliseconds time it on one more card: the next one that is asked
    for has its answer. None for a card whose speed is not known.
    """
    own = card.clock
    if own is None or card.threads is not None:
        return (own,) if own else ()
    alike = [one for one in CARDS.values() if target_of(one) == target_of(card)]
    clocks = (replace(one, calibrated=card.calibrated).clock for one in alike)
    return tuple(dict.fromkeys([own, *filter(None, clocks)]))


def canonical(capability: tuple[int, int]) -> Target:
    """Return one target for all capabilities that choose alike, so that they share forecasts."""
    return Target(kind="cuda", capability=_ALIKE.get(capability, capability))
