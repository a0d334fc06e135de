"""Whatever stands in a checkpoint's folder: what was saved, or nothing, and no error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from harness.training.checkpoint import Checkpoints

FILES = ("state.json", "tensors.safetensors", "SHA256SUMS")


def state() -> dict[str, Any]:
    weights = torch.arange(6.0).view(2, 3)
    return {"step": 12, "best": None, "names": ["a", {"moment": weights, "loss": 0.25}]}


@pytest.fixture(scope="module", autouse=True)
def _one_code() -> Iterator[None]:
    """The hash of the source code is not read anew for every example."""
    with mock.patch("harness.training.checkpoint._code", return_value=["code"]):
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path_factory.mktemp("checkpoints") / "saved", every=1e9)
    assert checkpoints.save(state()) is None
    return checkpoints


@pytest.fixture(scope="module")
def checkpoints(saved: Checkpoints) -> Checkpoints:
    return Checkpoints(saved.folder.with_name("cell"), every=1e9)


def restore(checkpoints: Checkpoints, saved: Checkpoints) -> None:
    """Put the whole checkpoint there, without waiting for the disk."""
    if checkpoints.folder.is_file():
        checkpoints.folder.unlink()
    shutil.rmtree(checkpoints.folder, ignore_errors=True)
    shutil.copytree(saved.folder, checkpoints.folder)


def holds(found: Any) -> bool:
    """Tell whether it is what was saved, to the bit."""
    if not isinstance(found, dict) or {**found, "names": None} != {**state(), "names": None}:
        return False
    (first, second), (_, ours) = found["names"], state()["names"]
    same = second["moment"].dtype == ours["moment"].dtype
    return first == "a" and second["loss"] == 0.25 and same and torch.equal(
        second["moment"], ours["moment"])  # fmt: skip


@fuzzed(250)
@given(data=st.data())
def test_no_changed_byte_is_believed(
    checkpoints: Checkpoints, saved: Checkpoints, data: st.DataObject
) -> None:
    restore(checkpoints, saved)
    assert holds(checkpoints.load())
    changed = False
    for _ in range(data.draw(st.integers(1, 2))):
        file = checkpoints.folder / data.draw(st.sampled_from(FILES))
        kept = file.read_bytes()
        file.write_bytes(changed_bytes(data, kept))
        changed |= file.read_bytes() != kept
    found = checkpoints.load()
    assert holds(found) if found is not None else changed


@fuzzed(200)
@given(data=st.data())
def test_no_folder_of_other_files_is_believed(
    checkpoints: Checkpoints, saved: Checkpoints, data: st.DataObject
) -> None:
    """Files that are lost, exchanged, folders, links that lead nowhere, and values changed."""
    restore(checkpoints, saved)
    files = [checkpoints.folder / name for name in FILES]
    file, other = data.draw(st.permutations(files))[:2]
    how = data.draw(st.sampled_from(["lost", "folder", "link", "swapped", "both", "all", "file"]))
    if how in ("lost", "both", "folder", "link"):
        file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "link":
        file.symlink_to(data.draw(st.sampled_from(["nowhere", other.name, "."])))
    elif how == "swapped":
        file.write_bytes(other.read_bytes())
    elif how == "both":
        other.write_bytes(changed_bytes(data, other.read_bytes()))
    elif how in ("all", "file"):
        shutil.rmtree(checkpoints.folder)
    if how == "file":
        checkpoints.folder.write_bytes(data.draw(st.binary(max_size=20)))
    assert checkpoints.load() is None


def test_a_checkpoint_without_its_sums_is_not_believed(
    checkpoints: Checkpoints, saved: Checkpoints, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its weights may be anything: a flipped bit in them is no error of the format."""
    restore(checkpoints, saved)
    (checkpoints.folder / "SHA256SUMS").unlink()
    assert checkpoints.load() is None
    assert "is damaged" in capsys.readouterr().out


def test_a_pipe_is_not_waited_for(checkpoints: Checkpoints, saved: Checkpoints) -> None:
    restore(checkpoints, saved)
    for name in FILES:
        (checkpoints.folder / name).unlink()
        os.mkfifo(checkpoints.folder / name)
    assert checkpoints.load() is None
