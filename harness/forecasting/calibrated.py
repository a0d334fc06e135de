"""What `headroom calibrate` measured on this machine, kept beside the forecasts.

A help and no more: without it, or where it cannot be believed, cards are timed by their datasheets
and a host of known cards' machines, and the CPU is not timed at all.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt

from harness import durable
from harness.forecasting.cache import cache_folder
from harness.part import Part
from harness.timing.clock import Machine
from harness.timing.plausible import slowed
from harness.timing.processor import Processor
from harness.untrusted import Unreadable, bytes_of, reading

Constant = Literal["host", "bandwidth", "products", "products_fp32"]


class Host(Part):
    """The host's seconds for one dispatched operator, and how they were found."""

    seconds: PositiveFloat
    measured: bool = Field(description="on a GPU's step; else reckoned from steps on the CPU")


class Device(Part):
    """What a GPU reaches of its datasheet; shares."""

    gpu: str = Field(description="as its driver calls it")
    bandwidth: PositiveFloat
    products: PositiveFloat | None = Field(None, description="in 16 bits; None: it has none")
    products_fp32: PositiveFloat


class Calibration(Part):
    """One machine's constants.

    Attributes:
        date: when they were measured.
        cpu, cores: of the machine.
        versions: of the libraries.
        host: of a GPU's steps.
        devices: by the card's name.
        processors: the CPU as a device, by threads.
        doubts: why what was measured may not be true, by threads; those of one are the host's, too.
    """

    date: str
    cpu: str
    cores: PositiveInt
    versions: dict[str, str]
    host: Host
    devices: dict[str, Device] = Field(default_factory=dict)
    processors: list[Processor] = Field(default_factory=list)
    doubts: dict[PositiveInt, str] = Field(default_factory=dict)
    took: FiniteFloat = Field(0.0, description="seconds")

    def machine(self, card: str) -> Machine:
        """Return the constants of a card in this machine."""
        found: dict[str, float] = {"host": self.host.seconds}
        device = self.devices.get(card)
        if device is not None:
            shares = device.model_dump(exclude={"gpu"}, exclude_none=True)
            found.update(shares)
        sure = self.host.measured and not self.doubt(1)
        measured = [name for name in found if name != "host" or sure]
        return Machine(**found, calibrated=tuple(measured), name=self.name)

    def processor(self, threads: int) -> Processor | None:
        """Return the CPU with so many threads, if it was measured so and can be believed."""
        found = self._measured(threads)
        return found if threads == 1 or not self.doubt(threads) else None

    def doubt(self, threads: int) -> str:
        """Say why what was measured with so many threads may not be true; or nothing."""
        kept, alone, many = self.doubts.get(threads, ""), self._measured(1), self._measured(threads)
        return kept or (slowed(many, alone) if many and alone and threads > 1 else "")

    def _measured(self, threads: int) -> Processor | None:
        return next((one for one in self.processors if one.threads == threads), None)

    @property
    def name(self) -> str:
        """What notes call it."""
        return f"this machine, {self.date}"

    def told(self, card: str) -> str:
        """Say what of a card's step times was measured here."""
        how = "measured on" if self.host.measured else "reckoned from the CPU, not measured, of"
        host = f"{1e6 * self.host.seconds:.1f} µs of the host an operator"
        share = f" and what {card} reaches of its datasheet" if card in self.devices else ""
        busy = f", in doubt: {self.doubt(1)}" if self.doubt(1) else ""
        return f"step times with {host}{share}, {how} this machine ({self.date}{busy})"


def told_of_cpu(found: Calibration | None, card: str, threads: int) -> list[str]:
    """Say why there is no step time on the CPU, or what is in doubt of it."""
    doubt = found.doubt(threads) if found else ""
    in_doubt = f"{card}: was measured on a busy machine ({doubt})"
    if found and found.processor(threads):
        return [f"{in_doubt}: its times may be farther off than their error bars"] if doubt else []
    if doubt:
        return [f"{in_doubt}: no step time; repeat headroom calibrate on a quiet one"]
    return [f"{card}: no step time; headroom calibrate measures this CPU"]


def calibration_file() -> Path | None:
    """Return where this machine's calibration is kept; None: nothing is kept.

    Machines that share a home do not share it.
    """
    folder = cache_folder()
    return None if folder is None else folder / f"calibration-{host_name()}.json"


def host_name() -> str:
    """Name this machine in a file's name, without telling what it is called."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]


def calibration() -> Calibration | None:
    """Return what is kept, or None where nothing that can be believed is."""
    file = calibration_file()
    if file is None or not file.exists():
        return None
    return _read(file, file.stat().st_mtime_ns)


@cache
def _read(file: Path, _changed: int) -> Calibration | None:
    try:
        with reading(file, "a calibration", Calibration):
            return Calibration.model_validate_json(bytes_of(file))
    except Unreadable as error:
        print(f"note: not calibrated: {error}", file=sys.stderr)
        return None


def keep(found: Calibration) -> Path | None:
    """Keep a calibration in place of an older one; return where, None for nowhere.

    Raises:
        OSError: it cannot be written.
    """
    file = calibration_file()
    if file is not None:
        durable.write_text(file, found.model_dump_json(indent=1) + "\n")
    return file


def forget() -> Path | None:
    """Remove what is kept; return what was removed."""
    file = calibration_file()
    if file is None or not file.exists():
        return None
    file.unlink()
    return file
