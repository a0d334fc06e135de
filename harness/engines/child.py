"""A cell's process: handed its order, heard until it ends, and ended with all that it started."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.env import ROOT
from harness.units import clock

if TYPE_CHECKING:
    from harness.engines.base import Order

# Between being asked to end, when a cell writes its checkpoint, and being killed.
GRACE_SECONDS = 60.0
STACK_SECONDS = 0.5  # that writing its stacks may take a process that hangs
PATIENCE = 0.2  # seconds until an engine that is ended, a limit or a silent exit is noticed
LINE = 65536


@dataclass(frozen=True)
class Limits:
    """How long a cell may take, in seconds (None: for ever), and what becomes of one that fails.

    Attributes:
        cell: wall time of one attempt.
        silent: without a step, a batch of an evaluation or another stage.
        grace: from being asked to end to being killed.
        retries: how often a cell that crashed is run again.
        back_off: before it is; each time twice as long.
        halve: one whose batch does not fit is run again with half of it, in two passes.
        afresh: cells begin with their own batches, whatever an earlier run found.
    """

    cell: float | None = None
    silent: float | None = None
    grace: float = GRACE_SECONDS
    retries: int = 1
    back_off: float = 5.0
    halve: bool = False
    afresh: bool = False


def _opened(log: Path) -> BinaryIO:
    """Open a cell's log; its folder may be moved away between being made and being used."""
    for _ in range(3):
        log.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return log.open("wb")
    return log.open("wb")


class Child:
    """One process in a session of its own, whose group is killed when it ends.

    Args:
        order: without the descriptor of its progress, which is made here.
        log: where it prints.
        environment: on top of this process's own.
    """

    def __init__(self, order: Order, log: Path, environment: Mapping[str, str]) -> None:
        self._heard, progress = os.pipe()
        self._order = order.model_copy(update={"progress": progress})
        try:
            with _opened(log) as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "harness.engines.worker"],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONPATH": python_path(), **environment},
                    pass_fds=(progress, order.lock),
                    start_new_session=True,  # the terminal's Ctrl-C comes to the runner alone
                )
        except BaseException:
            os.close(self._heard)
            raise
        finally:
            os.close(progress)
        self.began = time.monotonic()
        self.held = 0  # bytes of host memory, when last seen

    def attend(
        self, limits: Limits, stopping: threading.Event, hear: Callable[[dict[str, Any]], None]
    ) -> tuple[int, str | None]:
        """Pass on what the process reports until it has ended, whoever holds its pipe.

        Returns:
            Its exit code, and which limit it was ended by, in words.
        """
        try:
            self._hand_over()
            ended_by = self._listen(limits, stopping, hear)
        finally:
            code = self._end()
        return code, ended_by

    def _hand_over(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; its exit code tells
            self._process.stdin.write(self._order.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()

    def _listen(
        self, limits: Limits, stopping: threading.Event, hear: Callable[[dict[str, Any]], None]
    ) -> str | None:
        rest, heard, asked, ended_by = b"", self.began, None, None
        while not self._has_ended():
            chunk = self._read()
            now = time.monotonic()
            if chunk:
                heard = now
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    hear(json.loads(line))
            if asked is None:
                ended_by = _over(limits, now - self.began, now - heard)
                if ended_by or stopping.is_set():
                    asked = now
                    self._ask_to_end(silent=bool(ended_by) and now - heard > PATIENCE)
            elif now - asked > limits.grace:
                break
        return ended_by

    def _read(self) -> bytes:
        """Return what has been reported; waits for it, for a moment."""
        self.held = _resident(self._process.pid) or self.held
        if self._heard < 0:
            time.sleep(PATIENCE / 10)
            return b""
        if not select.select([self._heard], [], [], PATIENCE)[0]:
            return b""
        chunk = os.read(self._heard, LINE)
        if not chunk:  # its end is closed: it writes its record and ends
            os.close(self._heard)
            self._heard = -1
        return chunk

    def _has_ended(self) -> bool:
        """Tell whether the process has; it is left to be reaped, so its number stays its own."""
        return (
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def _ask_to_end(self, silent: bool) -> None:
        """Ask for a checkpoint at the next step; one that hangs says first where it does."""
        if silent:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(STACK_SECONDS)
        self._process.send_signal(signal.SIGTERM)

    def _end(self) -> int:
        """Kill what is left of the process and of all that it started; returns its exit code."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._heard >= 0:
            os.close(self._heard)
        return code


def _over(limits: Limits, lasted: float, silent: float) -> str | None:
    """Say which limit is reached."""
    if limits.cell is not None and lasted > limits.cell:
        return f"time limit: not done after {clock(limits.cell)} (--cell-minutes)"
    if limits.silent is not None and silent > limits.silent:
        return f"hangs: nothing heard of it for {clock(limits.silent)} (--silent-minutes)"
    return None


def _resident(process: int) -> int:
    """Return the bytes of host memory that a process holds; 0 where nobody knows."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def python_path() -> str:
    """Let the child import the code that runs here, wherever it was started."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
