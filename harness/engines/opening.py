"""The engine that a run asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.engines.base import Engine
from harness.engines.here import devices_here
from harness.engines.local import LocalEngine
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.engines.child import Limits
    from harness.provenance import Invocation
    from harness.record import ExportKind
    from harness.store import Store


@dataclass(frozen=True)
class Wanted:
    """How cells are to run, whatever runs them.

    Attributes:
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
        invocation: how the run was asked for, for the records.
        limits: how long a cell may take, and how often one that crashed is run again.
        jobs: cells at a time on a device.
        gpus: of this machine, as `--gpus` has them.
    """

    checkpoint_seconds: float
    export: ExportKind | None
    invocation: Invocation
    limits: Limits
    jobs: int = 1
    gpus: str | None = None


@contextmanager
def opened(name: str, store: Store, lock: int, wanted: Wanted) -> Iterator[Engine]:
    """Yield the engine of this name.

    Raises:
        UserError: it is not installed, or has no device.
    """
    given = (wanted.checkpoint_seconds, wanted.export, wanted.invocation, wanted.limits)
    if name == "local":
        yield LocalEngine(store, devices_here(wanted.gpus, wanted.jobs), lock, *given)
        return
    raise UserError("--engine ray: it is not installed")
