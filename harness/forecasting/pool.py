"""A process of its own for every forecast, without paying for imports each time.

The parent imports what forecasts need and computes nothing, so that no thread runs in it; each
task is a fork of it, which starts in milliseconds and takes its changes to torch with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection, wait
from typing import Any

from harness.errors import UserError
from harness.forecasting.spare import import_without_gpu, put_off, spared

PRELOADED = (
    "torch",
    "transformers",
    "peft",
    "harness.simulation.step_forecast",
    "harness.simulation.fake",
)


PR_SET_PDEATHSIG = 1  # linux/prctl.h


class TaskFailed(Exception):
    """A child ended without a result; the message says how."""


def preload(model_types: Iterable[str] = (), *, whole: bool = False) -> None:
    """Import what every forecast needs, and the modelling code of the given model types.

    What imports leave behind lives as long as the process: the garbage collector need not look at
    it, neither while it is made nor in every fork.

    Args:
        model_types: as configs have them.
        whole: import the libraries as they import themselves: this process trains, too.
    """
    gc.disable()
    with nullcontext() if whole else spared():
        (put_off if whole else import_without_gpu)()
        for name in PRELOADED:
            importlib.import_module(name)
        for kind in model_types:
            folder = kind.replace("-", "_")
            try:
                importlib.import_module(f"transformers.models.{folder}.modeling_{folder}")
            except ImportError:
                continue  # kept elsewhere; the child finds it
    gc.freeze()
    gc.enable()


def run_forked(
    tasks: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], workers: int
) -> Iterator[tuple[int, Any]]:
    """Run each (function, arguments) in a fork of this process, at most `workers` at a time.

    Yields (number of the task, result) as they finish; a result is what the function returned, or
    the UserError or TaskFailed that it ended with.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Connection, tuple[int, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                number, (function, arguments) = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                child = context.Process(target=answer_and_exit, args=(theirs, function, arguments))
                child.start()
                theirs.close()
                running[ours] = (number, child)
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                number, child = running.pop(pipe)
                try:
                    result = pipe.recv()
                except EOFError:
                    child.join()
                    result = TaskFailed(f"the forecasting process ended with code {child.exitcode}")
                child.join()
                yield number, result
    finally:
        for _, child in running.values():
            child.kill()


def answer_and_exit(
    pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """In a forked child: send what the function returns or ends with, and end the process."""
    import torch
    from transformers.utils import logging

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C: the parent ends this one
    end_with_parent()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    import_without_gpu()
    try:
        result = function(*arguments)
    except UserError as error:
        result = UserError(str(error))
    except Exception as error:  # whatever a model or a library does, the other forecasts go on
        lines = str(error).strip().splitlines()
        result = TaskFailed(f"{type(error).__name__}: {lines[0] if lines else ''} {_place(error)}")
    pipe.send(result)
    pipe.close()
    os._exit(0)  # the interpreter's teardown takes longer than the forecast of a small model


def end_with_parent() -> None:
    """In a forked child, on Linux: be killed when the process that forked it is gone, however."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it was gone before
        os._exit(1)


def _place(error: BaseException) -> str:
    """Name the innermost place outside torch, where the reader can look."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/torch/" not in file:
            place = f"({file.rpartition('/site-packages/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place
