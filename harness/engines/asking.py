"""What cells ask of the devices that there are, where that decides anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.engines.here import CPU
from harness.engines.needs import Need, needs_of
from harness.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.engines.base import Engine
    from harness.engines.placing import Device
    from harness.suite.cell import Cell


def needs_for(engine: Engine, cells: Sequence[Cell], *, send_unfit: bool = False) -> list[Need]:
    """Return what the cells ask of an engine's devices, and show how far their forecasts are.

    Forecasts are kept where the user says, or in the run folder: nothing goes into a home.
    """
    from harness.forecasting.cache import CACHE_VARIABLE, cache_folder
    from harness.reporting.terminal import counting

    said = os.environ.get(CACHE_VARIABLE)
    cache = cache_folder() if said else engine.store.folder / "forecasts"
    with counting("forecasting what cells need", aloud=_decides(cells, engine.devices)) as progress:
        needs = needs_on(cells, engine.devices, cache, progress)
    return within(needs, engine.devices) if send_unfit else needs


def needs_on(
    cells: Sequence[Cell],
    devices: Sequence[Device],
    cache: Path | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Need]:
    """Return what every cell asks of these devices; none where that decides nothing.

    On a CPU that runs one cell at a time neither order nor room are to be had.
    """
    from harness.forecasting.cards import find_card
    from harness.forecasting.forecaster import Forecaster

    if not _decides(cells, devices):
        return []
    kinds = dict.fromkeys(device.kind for device in devices)
    cards = []
    for kind in kinds:
        with suppress(UserError):  # a GPU of a cluster that no forecast knows
            cards.append(find_card(kind))
    return needs_of(cells, cards, Forecaster(cache, progress=progress)) if cards else []


def _decides(cells: Sequence[Cell], devices: Sequence[Device]) -> bool:
    kinds = {device.kind for device in devices}
    return bool(cells) and (kinds != {CPU} or sum(device.places for device in devices) > 1)


def within(needs: Sequence[Need], devices: Sequence[Device]) -> list[Need]:
    """Let every need be at most what its kind of device has, so that all cells are sent."""
    most = {device.kind: device.memory for device in devices}
    return [
        replace(need, memory=tuple((kind, min(size, most[kind])) for kind, size in need.memory))
        for need in needs
    ]
