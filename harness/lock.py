"""One run at a time in a folder, on this machine and on all that share its file system.

On one machine `flock` is exact: the kernel drops it when the last process that has it is gone,
however that ended. Machines that share the folder may not hear of it; between them a lease decides,
a file that its holder writes into as long as it lives (`harness/lease.py`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import UserError
from harness.lease import Lease, last
from harness.printed import one_line

LOCK = ".lock"
# What a file system says that has no such locks.
WITHOUT = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def held(folder: Path, patience: float = 3.0) -> Iterator[int]:
    """Hold the folder for one run at a time; yields the lock's file descriptor.

    The lock belongs to the open file: children that inherit the descriptor keep it held, and the
    kernel drops it when the last of them is gone, however they ended. Where another machine takes
    the folder over, because this process was stopped for long, it is sent SIGTERM.

    Raises:
        UserError: another run has the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    lease = Lease(folder, _lost)
    try:
        exact = _acquire(descriptor, folder, patience)
        lease.take(_tell, sure=exact)
        os.ftruncate(descriptor, 0)
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        said = f"process {os.getpid()} on {socket.gethostname()} since {started}"
        os.pwrite(descriptor, said.encode(), 0)
        yield descriptor
    finally:
        lease.let_go()
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Return what holds the folder now, in words; None where nothing does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if _flock(descriptor, fcntl.LOCK_SH) is not False:
            return _leased(folder)
        said = _read_holder(descriptor)
        taken = re.match(rf"process (\d+) on {re.escape(socket.gethostname())} ", said)
        state = f", which {fate(int(taken[1]))}" if taken else ""
        return f"{said}{state}; {_open_in(folder / LOCK)}"
    finally:
        os.close(descriptor)


def fate(pid: int) -> str:
    """Say whether a process of this machine is there."""
    return "runs" if Path(f"/proc/{pid}").exists() else "is gone"


def _acquire(descriptor: int, folder: Path, patience: float) -> bool:
    """Take the lock; tells whether there are locks on this file system.

    Raises:
        UserError: another process has it.
    """
    deadline = time.monotonic() + patience
    while (done := _flock(descriptor, fcntl.LOCK_EX)) is False:
        if time.monotonic() > deadline:
            raise UserError(
                f"{folder} is in use by {_read_holder(descriptor)}; "
                "wait for it or give another --out"
            )
        time.sleep(0.1)
    return done is True


def _flock(descriptor: int, how: int) -> bool | None:
    """Lock or not; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in WITHOUT:
            return None
        raise
    return True


def _leased(folder: Path) -> str | None:
    """Say which process of another machine has the folder, as far as its file tells."""
    number, whose = last(folder)
    if whose is None or whose.is_gone or whose.is_here:
        return None
    told = f"{whose}" if whose.process else "a process of another machine"
    with suppress(OSError):
        silent = time.time() - (folder / f".lease.{number}").stat().st_mtime
        told += f", heard of {max(0.0, silent):.0f} s ago"
    return told


def _lost(why: str) -> None:
    """End this run as a scheduler does: its cells write their checkpoints."""
    print(f"error: {why}", file=sys.stderr)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGTERM)  # SIGINT may be ignored, as in the background


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _read_holder(descriptor: int) -> str:
    """Return what the lock says of who took it."""
    said = os.pread(descriptor, 200, 0).decode(errors="replace")
    return one_line(said) or "another process"


def _open_in(file: Path) -> str:
    """Say which processes of this machine have a file open, as far as they can be seen."""
    target, found = str(file.resolve()), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) == target:
                found.add(int(link.parts[2]))
    others = sorted(found - {os.getpid()})
    names = f"process{'es' if len(others) > 1 else ''} {', '.join(map(str, others))}"
    return f"it is open in {names}" if others else "no process of this machine has it open"
