"""The cache of forecasts: nothing computed is lost for it, and nothing changed is believed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked import request
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from harness import durable
from harness.forecasting import forecaster as forecaster_module
from harness.forecasting.cache import Cache, cache_folder
from harness.forecasting.forecaster import Asked, Forecaster
from harness.simulation.step_forecast import Need, StepForecast

STEP = StepForecast(
    peak_allocated=19_000_000, peak_reserved=2, peak_expandable=3, num_segments=4, at_rest=5,
    saved_activations=6, peak_mark="forward", split={"activations": 19_000_000}, peaks={},
    parameters={}, flops_forward=7, flops_step=8, holds=[], modules={},
    needs={"training": Need(allocated=9, reserved=10, expandable=11)},
)  # fmt: skip
NUM_KEYS = 3


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many requests each call of `Forecaster.ask` computes; nothing is simulated."""
    computed: list[int] = []

    def run(tasks: list[Any], workers: int) -> Iterator[tuple[int, list[StepForecast]]]:
        groups = [group for _, (group,) in tasks]
        computed.append(sum(map(len, groups)))
        yield from ((number, [STEP] * len(group)) for number, group in enumerate(groups))

    monkeypatch.setattr(forecaster_module, "run_forked", run)
    monkeypatch.setattr(forecaster_module, "preload", lambda *_: None)
    return computed


def ask(folder: Path | None) -> list[Any]:
    requests = [Asked(request("tiny-bert", steps=((4, 8 + n),)), (24,)) for n in range(NUM_KEYS)]
    return Forecaster(folder, 1).ask(requests)


def test_an_answer_is_kept(tmp_path: Path, asked: list[int]) -> None:
    for _ in range(2):
        assert ask(tmp_path) == [STEP] * NUM_KEYS
    assert asked == [NUM_KEYS]


def test_a_cache_that_cannot_be_written_is_told_once(
    tmp_path: Path, asked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "file"
    place.write_text("no folder")
    assert ask(place) == [STEP] * NUM_KEYS
    assert capsys.readouterr().err.count("not kept in") == 1


def test_a_full_disk_is_told_once_and_leaves_nothing(
    tmp_path: Path,
    asked: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "_to_disk", full)
    assert ask(tmp_path / "cache") == [STEP] * NUM_KEYS
    error = capsys.readouterr().err
    assert error.count("No space left on device") == 1
    assert list((tmp_path / "cache").iterdir()) == []


def _digit(text: bytes) -> bytes:
    changed = text.replace(b'"peak_allocated":19000000', b'"peak_allocated":0')
    assert changed != text
    return changed


@pytest.mark.parametrize(
    "damage",
    [
        _digit,
        lambda text: text.replace(b"forward", b"f\xe9rward"),
        lambda text: text[: len(text) // 2],
        lambda text: b"",
        lambda text: text.partition(b"\n")[2],
    ],
    ids=["a digit", "not UTF-8", "torn", "empty", "no checksum"],
)
def test_a_damaged_entry_is_made_anew(
    tmp_path: Path, asked: list[int], capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    ask(tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    file.write_bytes(damage(file.read_bytes()))
    assert ask(tmp_path) == [STEP] * NUM_KEYS
    assert asked == [NUM_KEYS, 1]
    assert str(file) in capsys.readouterr().err
    assert ask(tmp_path) == [STEP] * NUM_KEYS
    assert asked == [NUM_KEYS, 1], "mended"


def test_an_entry_under_another_key_is_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write("one", STEP)
    (tmp_path / "one.json").rename(tmp_path / "two.json")
    assert cache.read("two") is None


def test_an_entry_that_is_a_folder_is_none_and_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "one.json").mkdir()
    assert cache.read("one") is None
    cache.write("one", STEP)
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]


def test_without_a_home_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HEADROOM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert cache_folder() is None
    assert "home" in capsys.readouterr().err


@fuzzed(300)
@given(data=st.data())
def test_no_changed_byte_is_believed(tmp_path: Path, data: st.DataObject) -> None:
    cache = Cache(tmp_path)
    cache.doubted = True  # said nothing of each
    file = tmp_path / "one.json"
    if not (tmp_path / "whole").exists():
        cache.write("one", STEP)
        (tmp_path / "whole").write_bytes(file.read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    changed = changed_bytes(data, whole)
    file.write_bytes(changed)
    found = cache.read("one")
    assert found is None or (found == STEP and json.loads(changed.partition(b"\n")[2]))
