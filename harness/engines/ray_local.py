"""A Ray cluster of this box alone: where its files lie, who may use it, and its end.

Nothing of it goes to the user's home, and nobody else on the box or in its network may start tasks
in it. Ray's processes do not all end with the one that started them: here they are found by a
variable that each has from it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

HOME = "HEADROOM_RAY_HOME"  # variable of all processes of a cluster: its folder
PREFIX = "headroom-ray-"
OWNER = "owner"  # a file there: the process that the cluster is for
DRIVER = "driver"  # another: Ray's driver, which leads its session
TOKEN = "token"
# Ray's sockets lie below; their paths may have 107 bytes, of which Ray takes 63 and this 22.
LONGEST = 20
PATIENCE = 5.0  # seconds that killed processes may take to be gone


def new_home() -> Path:
    """Make a folder for a cluster of this process, and clear those of processes that are gone."""
    for old in _parent().glob(f"{PREFIX}*"):
        if _is_ours(old) and not _owner_lives(old):
            end(old)
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_parent()))
    me = psutil.Process()
    (home / OWNER).write_text(f"{me.pid} {me.create_time()}")
    token = home / TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    return home


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a cluster's processes, on top of this one's."""
    return {
        HOME: str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home / TOKEN),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray would end workers where the box is short of memory; the kernel does that.
        "RAY_memory_monitor_refresh_ms": "0",
    }


def end(home: Path) -> None:
    """End all processes of a cluster but this one, and remove its folder."""
    until, me = time.monotonic() + PATIENCE, os.getpid()
    while (found := [one for one in _processes(home) if one.pid != me]) and (
        time.monotonic() < until
    ):
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.5)
    shutil.rmtree(home, ignore_errors=True)


def _processes(home: Path) -> Iterator[psutil.Process]:
    """Yield a cluster's processes.

    One that renames itself, as some of Ray's do, writes over its variables: it is known by its new
    name, in the session of the cluster's driver.
    """
    variable = f"{HOME}={home}".encode()
    session = _driver_of(home)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            proc = Path("/proc") / str(process.pid)
            named = (proc / "cmdline").read_bytes().startswith(b"ray::")
            if variable in (proc / "environ").read_bytes().split(b"\0") or (
                named and os.getsid(process.pid) == session
            ):
                yield process


def _driver_of(home: Path) -> int:
    """Return the process, and session, of a cluster's driver; -1 where none was started."""
    try:
        return int((home / DRIVER).read_text())
    except (OSError, ValueError):
        return -1


def _parent() -> Path:
    """Return the folder for temporary files, unless its path is too long for Ray's sockets."""
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST else Path("/tmp")


def _is_ours(home: Path) -> bool:
    with suppress(OSError):
        return not home.is_symlink() and home.stat().st_uid == os.getuid()
    return False


def _owner_lives(home: Path) -> bool:
    """Tell whether the process that a cluster is for is there; one just made says not yet whose."""
    try:
        pid, began = (home / OWNER).read_text().split()
        return psutil.Process(int(pid)).create_time() == float(began)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - home.stat().st_mtime < 60
        return False
    except (OSError, ValueError, psutil.Error):
        return False
