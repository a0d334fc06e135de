"""A marked test in a process of its own: what it builds, and the forecasts of it.

The process is a fork of pytest's, so that fixtures are there and nothing is imported twice. It
builds what the test returns, and each forecast is a fork of that: a step leaves its marks on torch,
and takes the values of the tensors.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import UserError
from harness.testing.marks import Run

if TYPE_CHECKING:
    from harness.simulation.answers import UnknownValue

IMPORTED = ("harness.simulation.given.forecast", "harness.simulation.given.plain",
             "harness.simulation.allocator", "harness.forecasting.pool")  # fmt: skip


class Question(NamedTuple):
    """A run on cards that choose alike.

    Attributes:
        run: how the step runs.
        target: what the cards' kernels depend on.
        capacities: what their allocators may reserve, in bytes.
    """

    run: Run
    target: Any
    capacities: tuple[int, ...]


class Answer(NamedTuple):
    """How a process ended.

    Attributes:
        kind: `done`; `refused`, by us; `raised`, by the user's code; `skipped` or `failed`, as
            pytest has it.
        value: forecasts, or what is said.
        slow: fake tensors were needed, and with them torch's compiler.
    """

    kind: str
    value: Any
    slow: bool = False


def forecasts_of(call: Callable[[], Any], questions: Sequence[Question]) -> Answer:
    """Return the forecasts of what `call` returns, one per question."""
    import torch  # before the fork, so that it is paid for once

    for module in IMPORTED:
        importlib.import_module(module)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return Answer("refused", _STARTED)
    answer = _forked(_built, call, questions)
    if answer.slow:  # the next one will be, too; without this each fork imports it for itself
        importlib.import_module("torch._dynamo")
    return answer


_STARTED = (
    "a test before this one has started CUDA in this process, and no forecast in a fork survives "
    "that: run tests with memory marks in a run of their own (pytest -m 'memory_budget or "
    "memory_increase')"
)


def _built(call: Callable[[], Any], questions: Sequence[Question]) -> Answer:
    """Build the step, and forecast it once per question in a fork."""
    from harness.simulation.given.places import built_on_host

    with built_on_host():
        returned = call()
    answers, slow = [], False
    for question in questions:
        answer = _forked(_forecast, returned, question, True)
        slow |= answer.kind == "autocast" or question.run.autocast is not None
        if answer.kind == "autocast":
            answer = _forked(_forecast, returned, question, False)
        if answer.kind != "done":
            return answer._replace(slow=slow)
        answers.append(answer.value)
    return Answer("done", answers, slow)


def _forecast(returned: Any, question: Question, meta: bool) -> Answer:
    from harness.simulation.given.forecast import forecast_given
    from harness.simulation.given.places import AutocastNeedsValues
    from harness.simulation.given.plain import How, given_by

    run = question.run
    given = given_by(returned, How(run.step, run.clip, run.autocast))  # type: ignore[arg-type]
    try:
        return Answer("done", forecast_given(
            given, question.target, question.capacities, meta=meta and run.autocast is None,
            values=dict(run.values),
        ))  # fmt: skip
    except AutocastNeedsValues:
        return Answer("autocast", None)


def _forked(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call a function in a fork of this process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(theirs, function, arguments))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():  # pytest-xdist has threads, of which the fork uses none
        warnings.simplefilter("ignore")
        child.start()
    theirs.close()
    try:
        answer: Answer = ours.recv()
    except EOFError:
        child.join()
        answer = Answer("raised", f"the forecasting process ended with code {child.exitcode}")
    finally:
        if child.is_alive() and sys.exc_info()[0] is not None:
            child.kill()
        child.join()
    return answer


def _child(pipe: Connection, function: Callable[..., Answer], arguments: tuple[Any, ...]) -> None:
    import torch

    from harness.forecasting.pool import end_with_parent
    from harness.forecasting.spare import put_late

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    torch.set_num_threads(1)
    put_late()
    pipe.send(_answer(function, arguments))
    pipe.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _answer(function: Callable[..., Answer], arguments: tuple[Any, ...]) -> Answer:
    import pytest

    from harness.simulation.answers import UnknownValue

    try:
        return function(*arguments)
    except UnknownValue as error:
        return Answer("refused", _unknown(error))
    except UserError as error:
        return Answer("refused", str(error))
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        kind = "skipped" if isinstance(error, pytest.skip.Exception) else "failed"
        return Answer(kind, str(error))
    except BaseException as error:
        return Answer("raised", _told(error))


def _unknown(error: UnknownValue) -> str:
    """Say where code reads what nobody knows, and how the mark can answer."""
    if error.place is None:
        return str(error)
    path, line, function = error.place
    file = os.path.relpath(path)
    shown = path if file.startswith(os.pardir) else file
    return (
        f"{shown}:{line}: `{function}` reads {error.what} from a tensor, and a forecast has none; "
        f"say it in the mark: values={{'{os.path.basename(path)}:{function}': ...}}"
    )


def _told(error: BaseException) -> str:
    """Return a traceback from the user's code on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = f"{os.sep}harness{os.sep}"
    start = next((n for n, frame in enumerate(frames) if own not in frame.filename), 0)
    lines = traceback.format_list(frames[start:])
    return "".join([*lines, *traceback.format_exception_only(error)]).rstrip()
