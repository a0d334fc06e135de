"""Hooks of pytest: `@pytest.mark.memory_budget("3.2 GiB", gpu="rtx4090")` and `memory_increase`.

pytest imports this in every project that has Headroom installed, so it imports nothing else until
a test has one of the marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from harness.testing.names import FILE, MARKS, OUTCOMES

if TYPE_CHECKING:
    from harness.testing.session import Session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of runs, and those of the project's file."""
    group = parser.getgroup("memory", "forecast memory (headroom)")
    group.addoption(
        "--memory-accept",
        action="store_true",
        help="write what memory_increase tests need now into the file of accepted peaks",
    )
    group.addoption(
        "--memory-reason",
        default="",
        metavar="TEXT",
        help="why the peaks move; kept in the file beside them",
    )
    group.addoption(
        "--memory-strict",
        action="store_true",
        default=None,
        help="a memory_increase test without an accepted peak fails",
    )
    group.addoption("--memory-gpu", metavar="CARD", help="for marks that name no gpu")
    parser.addini("memory_gpu", "card to forecast for, where a mark names none", default="")
    parser.addini("memory_file", f"file of accepted peaks; default {FILE}", default=FILE)
    parser.addini("memory_strict", "as --memory-strict", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and gather what their tests come to."""
    config.pluginmanager.register(_Gathered(config), "memory-gathered")
    config.addinivalue_line(
        "markers",
        "memory_budget(limit, *, gpu, of, step, autocast, clip, values): the step that the test "
        "returns needs at most so much on that card, by a forecast without a GPU",
    )
    config.addinivalue_line(
        "markers",
        "memory_increase(limit, *, gpu, of, step, autocast, clip, values): it needs at most so "
        "much more than was accepted last",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse marks on what is no plain function: they would never be looked at."""
    if _is_marked(item) and type(item) is not pytest.Function:
        pytest.fail(
            f"{' and '.join(MARKS)} are for plain test functions, and this is a "
            f"{type(item).__name__}", pytrace=False,
        )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a marked test: forecast the step that it returns."""
    if not _is_marked(pyfuncitem):
        return None
    _session(pyfuncitem.config).judge(pyfuncitem)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    """Lay what forecasts came to into the test's report, which xdist hands on."""
    made: Any = yield
    outcomes = getattr(item, OUTCOMES, None) if call.when == "call" else None
    if outcomes:
        setattr(made.get_result(), OUTCOMES, outcomes)


class _Gathered:
    """What the tests of all workers came to."""

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.reports = config, list[Any]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the reports of marked tests."""
        if hasattr(report, OUTCOMES):
            self.reports.append(report)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Tell of forecasts, and write accepted peaks; of xdist's processes the first one does."""
        if self.reports and not hasattr(self.config, "workerinput"):
            _session(self.config).conclude(self.reports, terminalreporter)


def _is_marked(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in MARKS)


def _session(config: pytest.Config) -> Session:
    from harness.testing.session import session_of

    return session_of(config)
