"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cells import PRUNED_METHOD, PRUNED_SETTINGS, cell_of, silent
from forked import SUBPROCESS

from harness.cell import run_cell
from harness.record import Record
from harness.store import Store

# Else `torch.cuda.is_available`, at the head of some test modules, starts CUDA, and no forecast in
# a fork survives that.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
# What runs of tests write; tests of the other formats ask for them.
os.environ["HEADROOM_FORMATS"] = "md,csv"

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the authors of plug-ins hold their methods to the contract."""
    parser.addoption(
        "--plugin", action="append", default=[], metavar="MODULE",
        help="hold the methods of this module, here or on the path, to the contract",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """On models this small, handing work to a second thread costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave alone what `headroom calibrate` measured on the developer's machine."""
    monkeypatch.setattr("harness.forecasting.calibrated.host_name", lambda: "of-tests")


@pytest.fixture
def forked_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cells' processes be forks of this one, which need not import torch again."""
    if torch.cuda.is_available():  # no GPU survives a fork
        return
    monkeypatch.setattr("harness.engines.child.subprocess", SUBPROCESS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets for development; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("HEADROOM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}")
    return folder


@pytest.fixture(scope="session")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    """A LoRAPrune run with its model exported."""
    folder = tmp_path_factory.mktemp("pruned")
    cell = cell_of(folder, PRUNED_METHOD, *PRUNED_SETTINGS)
    return run_cell(cell, silent, export=("model", Store(folder))), folder
