"""One run at a time in a folder that several machines share; threads play the machines."""

from __future__ import annotations

import errno
import fcntl
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest

from harness import lease, lock
from harness.errors import UserError
from harness.lease import NAME, Holder, Lease, last, started

QUICK = {"beat": 0.05, "silence": 0.6}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be on another machine from now on."""

    def go(name: str) -> None:
        monkeypatch.setattr(lease, "machine", lambda: name)

    go("a")
    return go


class Held:
    """A lease, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.told: list[str] = []
        self.lost: list[str] = []
        self.lease = Lease(folder, self.lost.append, **QUICK)

    def take(self, sure: bool = False) -> float:
        """Take it; returns the seconds that it took."""
        began = time.monotonic()
        self.lease.take(self.told.append, sure)
        return time.monotonic() - began

    def stop(self) -> None:
        """Give no more signs of life, as a machine that was switched off."""
        self.lease._ended.set()
        self.lease._thread.join()  # type: ignore[union-attr]


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_another_machine_is_refused_while_the_holder_lives(
    tmp_path: Path, on: Callable[[str], None]
) -> None:
    first, second = Held(tmp_path), Held(tmp_path)
    first.take()
    on("b")
    with pytest.raises(UserError, match=r"in use by process \d+ on a since 20"):
        second.take()
    first.lease.let_go()
    assert second.take() < QUICK["silence"], "it was let go of"
    assert names(tmp_path) == [f"{NAME}2"]
    assert not first.lost
    second.lease.let_go()


def test_a_machine_that_is_gone_is_waited_for_and_one_that_wakes_up_knows(
    tmp_path: Path, on: Callable[[str], None]
) -> None:
    first, second = Held(tmp_path), Held(tmp_path)
    first.take()
    first.stop()
    on("b")
    assert second.take() >= QUICK["silence"]
    assert second.told == [f"{tmp_path}: waiting to see whether {first.lease._own} still runs"]
    assert last(tmp_path)[0] == 2
    first.lease._ended.clear()
    first.lease._live()
    [why] = first.lost
    assert why.startswith(f"{tmp_path} was taken over by process")
    first.lease.let_go()
    assert last(tmp_path)[0] == 2
    second.lease.let_go()


def test_a_process_of_this_machine_is_looked_up(tmp_path: Path, on: Callable[[str], None]) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    ticks = started(done.pid)
    done.wait()
    gone = Holder("a", done.pid, ticks or 0, "then")
    reused = Holder("a", 1, (started(1) or 0) + 1, "then")
    for number, holder in enumerate((gone, reused), start=1):
        (tmp_path / f"{NAME}{2 * number}").write_text(json.dumps(asdict(holder)))
        ours = Held(tmp_path)
        assert ours.take() < QUICK["silence"]
        ours.lease.let_go()
    living = Held(tmp_path)
    living.take()
    living.stop()
    assert Held(tmp_path).take(sure=True) < QUICK["silence"], "flock says that it is gone"


def test_of_many_that_take_over_at_once_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "machine", lambda: threading.current_thread().name)
    first = Held(tmp_path)
    first.take()
    first.stop()
    took: list[Held] = []
    refused: list[str] = []
    barrier = threading.Barrier(6)

    def contend() -> None:
        ours = Held(tmp_path)
        barrier.wait()
        try:
            ours.take()
            took.append(ours)
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=contend, name=f"m{n}") for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(took), len(refused)) == (1, 5)
    assert not took[0].lost
    took[0].lease.let_go()
    assert len(names(tmp_path)) == 1


def test_who_is_slow_to_create_a_number_steps_back(
    tmp_path: Path, on: Callable[[str], None]
) -> None:
    ours = Held(tmp_path)
    (tmp_path / f"{NAME}7").write_text("")
    assert not ours.lease._create(3), "7 is there"
    assert names(tmp_path) == [f"{NAME}7"]
    assert ours.take() >= QUICK["silence"], "7 says nothing: it may be about to"
    assert names(tmp_path) == [f"{NAME}8"]
    ours.lease.let_go()


def test_without_flock_the_lease_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: Callable[[str], None]
) -> None:
    def without(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    monkeypatch.setattr(lock, "Lease", partial(Lease, **QUICK))
    with lock.held(tmp_path):
        with pytest.raises(UserError, match="in use by process"), lock.held(tmp_path):
            pass
        assert lock.holder(tmp_path) is None, "by this machine's processes"
        on("b")
        assert "on a since" in (lock.holder(tmp_path) or "")
        with pytest.raises(UserError, match="in use by process"), lock.held(tmp_path):
            pass
    assert lock.holder(tmp_path) is None
    with lock.held(tmp_path):
        pass


def test_a_folder_that_was_moved_and_made_anew_is_held_again(
    tmp_path: Path, on: Callable[[str], None]
) -> None:
    """Unless another process was there first."""
    on("a")
    folder, held = tmp_path / "run", Held(tmp_path / "run")
    folder.mkdir()
    held.take()
    folder.rename(tmp_path / "away")
    time.sleep(4 * QUICK["beat"])
    folder.mkdir()
    until = time.monotonic() + 10
    while not names(folder) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(4 * QUICK["beat"])
    number, holder = last(folder)
    assert (number, held.lost) == (1, [])
    assert holder is not None
    assert holder.beats > 0
    folder.rename(tmp_path / "far")
    made = tmp_path / "made"
    made.mkdir()
    (made / f"{NAME}1").write_text(json.dumps(asdict(Holder("b", 7, 7, "just now"))))
    made.rename(folder)
    while not held.lost and time.monotonic() < until + 10:
        time.sleep(0.02)
    assert held.lost == [f"{folder} was taken over by process 7 on b since just now"]
    held.lease.let_go()


def test_a_run_that_lost_its_folder_is_ended_as_by_a_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "Lease", partial(Lease, **QUICK))
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with lock.held(tmp_path):
            other = Holder("elsewhere", 7, 7, "just now", beats=1)
            (tmp_path / f"{NAME}2").write_text(json.dumps(asdict(other)))
            began = time.monotonic()
            while not ended.is_set() and time.monotonic() < began + 20:
                time.sleep(0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.is_set()
    assert "was taken over by process 7 on elsewhere since just now" in capsys.readouterr().err
