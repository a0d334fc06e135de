"""What a node is told of a cell, and which of this process's variables it has there."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness import plugins
from harness.engines.base import Order
from harness.engines.here import CPU
from harness.engines.ray_task import OF_THE_NODE
from harness.env import VARIABLES

if TYPE_CHECKING:
    from harness.engines.child import Limits
    from harness.engines.placing import Placed
    from harness.provenance import Invocation
    from harness.record import ExportKind
    from harness.store import Store

# Beside those that records name.
PASSED_ON = ("CUBLAS_", "HEADROOM_", "HF_", "OPENBLAS_", "PYTORCH_", "TORCH", "TRANSFORMERS_")


@dataclass(frozen=True)
class Common:
    """What is the same for all cells of a run.

    Attributes:
        store: where records and logs go.
        mark: of its folder, by which a node knows it.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
        invocation: how the run was asked for.
        limits: how long a cell may take.
    """

    store: Store
    mark: str
    checkpoint_seconds: float
    export: ExportKind | None
    invocation: Invocation | None
    limits: Limits


def task_of(placed: Placed, common: Common) -> dict[str, Any]:
    """Return what `ray_task.run_here` is given, as JSON."""
    turn, device, store = placed.turn, placed.devices[0], common.store
    order = Order(
        plugins=plugins.loaded(),
        folder=store.folder.absolute(),
        lock=-1,  # of the worker's own
        checkpoint_seconds=common.checkpoint_seconds,
        export=common.export,
        invocation=common.invocation,
        **placed.told(),
    )
    return {
        "order": order.model_dump(mode="json", exclude={"lock", "progress"}),
        "record": str(store.record_file(turn.cell).relative_to(store.folder)),
        "log": str(store.log_file(turn.cell).relative_to(store.folder)),
        "mark": common.mark,
        "limits": asdict(common.limits),
        "environment": variables(),
        "sharing": device.places if device.kind == CPU else 1,
        "at": os.getcwd(),
    }


def variables() -> dict[str, str]:
    """Return this process's variables that a cell's process has on every node."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != OF_THE_NODE and (name in VARIABLES or name.startswith(PASSED_ON))
    }
