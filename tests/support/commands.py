"""Commands as forks of the test's process, which has imported what they would import.

A command in an interpreter of its own spends most of a test on importing torch and transformers,
and so does each of its cells. Here `python -m harness` runs in a fork, with its own folder,
variables, path and output, and its cells are forks of that. Where it matters how an interpreter
starts, what it imports, or how it dies, tests start one.
"""

from __future__ import annotations

import os
import resource
import runpy
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import torch
from asked import warm
from forked import SUBPROCESS, start_anew

TIMEOUT = 300.0  # seconds


def headroom(
    cwd: Path,
    *arguments: str,
    cache: Path | None = None,
    path: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
    file_bytes: int | None = None,
) -> CompletedProcess[str]:
    """Run `python -m harness` with the arguments; returns its exit code and what it printed.

    Args:
        cwd: the folder where it runs.
        cache: its HEADROOM_CACHE; None: a folder beside its output that goes with it.
        path: searched for modules before all others.
        environment: variables beside this process's.
        file_bytes: the most that it may write into one file.
    """
    warm()
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / name for name in ("out", "err")]
        variables = {**os.environ, "HEADROOM_CACHE": str(cache or folder), **(environment or {})}
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                _become(said, cwd, variables, path, file_bytes)
                code = _run(arguments)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        ended = threading.Timer(TIMEOUT, os.killpg, (pid, signal.SIGKILL))
        ended.start()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ended.cancel()
        out, err = (file.read_text() for file in said)
    return CompletedProcess(["headroom", *arguments], code, out, err)


def _become(
    said: Sequence[Path],
    cwd: Path,
    variables: Mapping[str, str],
    path: Sequence[Path],
    file_bytes: int | None,
) -> None:
    """In the fork: be a process that was started there."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    out, err = (os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for file in said)
    start_anew((nothing, out, err), variables)
    os.chdir(cwd)
    sys.path[:0] = map(str, path)
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))


def _run(arguments: Sequence[str]) -> int:
    """In the fork: be the command; returns its exit code."""
    from harness.engines import child

    if not torch.cuda.is_available():  # no GPU survives a fork
        child.subprocess = SUBPROCESS  # type: ignore[attr-defined]
    sys.argv = ["headroom", *arguments]
    try:
        runpy.run_module("harness", run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
