"""Cells' processes as forks of the test's, which has imported all that they would import.

A cell's process spends most of its time in a test on importing torch and transformers. A fork of
this one runs the same `worker.main` in a session of its own, with the same pipes, signals and exit
codes; that a fresh interpreter does so is held by the tests that run whole commands.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import PIPE, STDOUT
from types import SimpleNamespace
from typing import Any, BinaryIO


class Forked:
    """What of `subprocess.Popen` an engine asks of its cell's process."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: BinaryIO,
        stderr: int,
        env: Mapping[str, str],
        pass_fds: Sequence[int],
        start_new_session: bool,
    ) -> None:
        assert command[-2:] == ["-m", "harness.engines.worker"]
        assert start_new_session
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(reading, stdout.fileno(), env, pass_fds)
            except BaseException:
                with suppress(OSError):  # its log may be on a full disk
                    traceback.print_exc()
            finally:
                os._exit(70)
        os.close(reading)
        self.stdin: BinaryIO = os.fdopen(writing, "wb")

    def send_signal(self, number: int) -> None:
        """Send it, as Popen does."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return its exit code; negative: the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _become(reading: int, log: int, env: Mapping[str, str], kept: Sequence[int]) -> None:
    """In the fork: be a cell's process."""
    from harness.engines import worker

    start_anew((reading, log, log), env, kept)
    code = worker.main()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def start_anew(
    streams: tuple[int, int, int], variables: Mapping[str, str], kept: Sequence[int] = ()
) -> None:
    """In a fork: be what a new process would be, with these streams and open files alone."""
    gc.freeze()  # what is of the parent is never looked at: its files close nothing here
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for place, descriptor in enumerate(streams):
        os.dup2(descriptor, place)
    _close_all_but(kept)
    # A fork of this one takes these streams' places: what it drops must not close them.
    opened: list[Any] = [
        open(place, mode, buffering, closefd=False)  # noqa: SIM115
        for place, (mode, buffering) in enumerate((("r", -1), ("w", -1), ("w", 1)))
    ]
    sys.stdin, sys.stdout, sys.stderr = opened
    os.environ.clear()
    os.environ.update(variables)
    _forget_plugins()


def _close_all_but(kept: Sequence[int]) -> None:
    """Close what a new process would not have, but for its three streams and what is kept."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(int(name))


def _forget_plugins() -> None:
    """Know no more of plug-ins than a new process does."""
    from harness import plugins
    from harness.tasks.families import get_family

    get_family.cache_clear()
    for plugin in plugins._loaded:  # what its import asks for is noted
        sys.modules.pop(plugin.module.partition(".")[0], None)
    plugins._loaded = []
    for registry in plugins.REGISTRIES.values():
        registry.used, registry._added = {}, {}
        registry.__dict__.pop("_installed", None)


# In place of the module `subprocess`, where an engine starts cells.
SUBPROCESS = SimpleNamespace(Popen=Forked, PIPE=PIPE, STDOUT=STDOUT)
