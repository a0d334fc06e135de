"""What a step's operators are timed with: a card's datasheet and the machine that it is in."""

from __future__ import annotations

import hashlib
from typing import Literal

from harness.suite.frozen import Frozen
from harness.timing.datasheet import Datasheet
from harness.timing.processor import Processor


class Machine(Frozen):
    """What no datasheet says: fitted constants, of one machine.

    Attributes:
        host: seconds of the host for one dispatched operator.
        bandwidth: share of the memory's bandwidth that kernels reach.
        products: share of the peak that matrix products in 16 bits and tf32 reach; None: as its
            architecture's cards do.
        products_fp32: the same of those in fp32.
        calibrated: which of them were measured on the user's machine.
        name: whose they are.
        processor: its CPU as a device, where that was measured.
    """

    host: float = 12e-6
    bandwidth: float = 0.8
    products: float | None = None
    products_fp32: float | None = None
    calibrated: tuple[Literal["host", "bandwidth", "products", "products_fp32"], ...] = ()
    name: str = "reference"
    processor: Processor | None = None


class Clock(Frozen):
    """A device that steps are timed on.

    Attributes:
        device: name of the card, or `cpu`.
        capability: of the card; (0, 0) for the CPU.
        sheet: None for the CPU, whose constants are the machine's `processor`.
        machine: what it is in.
    """

    device: str
    capability: tuple[int, int]
    sheet: Datasheet | None
    machine: Machine = Machine()

    @property
    def processor(self) -> Processor | None:
        """The CPU that the steps run on; None: they run on a card."""
        return self.machine.processor if self.sheet is None else None

    def key(self) -> str:
        """Name the clock among the times that a forecast keeps."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
