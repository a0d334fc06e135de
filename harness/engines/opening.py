"""The engine that a run asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.engines.base import Engine
from harness.engines.here import devices_here
from harness.engines.local import LocalEngine
from harness.engines.ray_nodes import selectors_of
from harness.errors import UserError
from harness.gpus import visible_devices

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
        address: of a Ray cluster; None: this machine alone.
        labels: that its nodes must have, as `--label` has them.
    """

    checkpoint_seconds: float
    export: ExportKind | None
    invocation: Invocation
    limits: Limits
    jobs: int = 1
    gpus: str | None = None
    address: str | None = None
    labels: tuple[str, ...] = ()


def refuse_options(name: str, gpus: str | None, address: str | None, labels: Sequence[str]) -> None:
    """Refuse what the engine of this name does not have, before anything is done for it.

    Raises:
        UserError: naming the option.
    """
    if name == "local":
        if address or labels:
            raise UserError("--address and --label are of --engine ray")
    elif find_spec("ray") is None:
        raise UserError("--engine ray: Ray is not here; pip install 'headroom-bench[ray]'")
    elif address and "://" in address:
        raise UserError(f"--address {address}: give HOST:PORT of its head, or auto")
    elif address and gpus is not None:
        raise UserError("--gpus is about this machine; with --address give --label")
    selectors_of(labels)
    if not address:
        visible_devices(gpus)


@contextmanager
def opened(name: str, store: Store, lock: int, wanted: Wanted) -> Iterator[Engine]:
    """Yield the engine of this name.

    Raises:
        UserError: it is not installed, or has no device.
    """
    refuse_options(name, wanted.gpus, wanted.address, wanted.labels)
    given = (wanted.checkpoint_seconds, wanted.export, wanted.invocation, wanted.limits)
    if name == "local":
        yield LocalEngine(store, devices_here(wanted.gpus, wanted.jobs), lock, *given)
        return
    from harness.engines.ray_cluster import Cluster
    from harness.engines.ray_core import RayEngine

    gpus = () if wanted.address else tuple(visible_devices(wanted.gpus))
    cluster = Cluster(wanted.address, wanted.labels, wanted.jobs, gpus)
    with RayEngine(store, cluster, *given) as engine:
        yield engine
