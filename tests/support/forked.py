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

    gc.freeze()  # what is of the parent is never looked at: its files close nothing here
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    for place, descriptor in enumerate((reading, log, log)):
        os.dup2(descriptor, place)
    close_all_but(kept)
    streams: list[Any] = [open(0), open(1, "w"), open(2, "w", buffering=1)]  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = streams
    os.environ.clear()
    os.environ.update(env)
    forget_plugins()
    code = worker.main()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def close_all_but(kept: Sequence[int]) -> None:
    """Close what a new process would not have, but for its three streams and what is kept."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(int(name))


def forget_plugins() -> None:
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
