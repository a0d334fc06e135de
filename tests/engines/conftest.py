"""Tasks that do what they should not, for engines to get by with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent

import pytest
from cells import suite_file

from harness import tasks
from harness.plugins import load_plugins
from harness.suite.cell import Cell
from harness.suite.load import load_suite

TASK = """\
import os, signal, subprocess, sys, time
from harness.errors import UserError
from harness.tasks.acceptability.task import AcceptabilityTask

class Odd(AcceptabilityTask):
    def load(self, request):
{load}
        return super().load(request)
    def is_local(self, request):
        return False

TASKS = {{'odd': Odd}}
"""


@pytest.fixture
def odd_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Cell]]:
    """Make cells whose task does what is given in the cell's process, then loads its rows."""
    monkeypatch.setattr("harness.plugins._loaded", [])
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    for name in ("_added", "used"):
        monkeypatch.setattr(tasks.REGISTRY, name, dict(getattr(tasks.REGISTRY, name)))

    def make(load: str, *overrides: str, methods: str = "full") -> list[Cell]:
        (tmp_path / "odd.py").write_text(TASK.format(load=indent(dedent(load), " " * 8)))
        load_plugins(["odd"], tmp_path)
        rows = "tasks=[{name: odd, train_rows: 16, evaluation_rows: 8}]"
        return load_suite(suite_file(tmp_path, methods), [rows, *overrides]).cells()

    return make
