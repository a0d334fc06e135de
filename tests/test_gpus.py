"""The GPUs of this machine, on a stand-in for the driver."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UserError
from harness.gpus import InstalledGpu, capability, installed, visible_devices


class Nvml(Exception):
    """What the driver raises."""


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Two cards; `fail` makes the driver absent."""
    import pynvml

    state = SimpleNamespace(fail=False, closed=0)

    def init() -> None:
        if state.fail:
            raise Nvml("driver not loaded")

    def handle(index: int) -> int:
        if index > 1:
            raise Nvml("no such device")
        return index

    stubs: dict[str, Any] = {
        "NVMLError": Nvml,
        "nvmlInit": init,
        "nvmlShutdown": lambda: setattr(state, "closed", state.closed + 1),
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetMemoryInfo": lambda index: SimpleNamespace(total=(index + 1) * 2**30),
        "nvmlDeviceGetName": lambda index: f"Card {index}",
        "nvmlDeviceGetCudaComputeCapability": lambda index: (8, 6 + 3 * index),
    }
    for name, stub in stubs.items():
        monkeypatch.setattr(pynvml, name, stub)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return state


def test_cards_are_listed_and_the_driver_is_let_go(driver: SimpleNamespace) -> None:
    assert installed() == [InstalledGpu(0, "Card 0", 2**30), InstalledGpu(1, "Card 1", 2 * 2**30)]
    assert driver.closed == 1
    assert capability(1) == (8, 9)


def test_without_a_driver_there_are_none(driver: SimpleNamespace) -> None:
    driver.fail = True
    assert installed() == []
    assert visible_devices(None) == []
    with pytest.raises(UserError, match="GPUs on this machine: none"):
        visible_devices("0")
    with pytest.raises(UserError, match="GPU 0 of this machine: driver not loaded"):
        capability()


def test_devices_are_those_asked_for_or_visible(
    driver: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert visible_devices(None) == ["0", "1"]
    assert visible_devices(" 1 ") == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible_devices(None) == ["1"]
    for wrong in ("2", "", "0,5"):
        with pytest.raises(UserError, match="GPUs on this machine: 0, 1"):
            visible_devices(wrong)
