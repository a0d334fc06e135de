"""Budget files, sinks and faults that are not what they should be: the exit code says so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from budgeted import CARD, figure, figures, invoke, written
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from harness import budget
from harness.budgets import compare
from harness.budgets import figures as figures_module
from harness.budgets.accepting import Accepted, updated
from harness.budgets.figures import Figures
from harness.budgets.file import Budget, read_budget
from harness.command import BAD_INPUT, BROKEN
from harness.errors import UserError

CELLS = figures({"a/b/c/s0": figure(100, split={"weights.base": 100})})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "budget.yaml"
    written(file, CELLS)
    return file


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a suite that is never read: its figures are given."""
    monkeypatch.setattr("harness.budgets.judging.figures_of", lambda *_: CELLS)
    monkeypatch.setattr(figures_module, "figures_of", lambda *_: CELLS)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path / "suite.yaml"


def check(suite: Path, file: Path, *more: str) -> tuple[int, str]:
    return invoke("check", suite, "--budget", file, *more)


BLOCK = """\
  a/b/c/s0:
    l4:
      key: k
      reason: start
      peak: 100
      split:
        weights.base: 100
      places:
        activations:
          layer.*: 100
"""
WRONG = {
    "twice": (
        BLOCK,
        BLOCK + BLOCK.replace("peak: 100", "peak: 1024819115008"),
        "stands here twice",
    ),
    "twice inside": ("peak: 100\n", "peak: 100\n      peak: 9\n", "stands here twice"),
    "another schema": ("schema: 2", "schema: 99", "schema"),
    "no cells": (f"cells:\n{BLOCK}", "cells: {}\n", "cells"),
    "octal": ("peak: 100", "peak: 010", "peak"),
    "sexagesimal": ("peak: 100", "peak: 1:30", "peak"),
    "a word": ("peak: 100", "peak: yes", "peak"),
    "a text": ("peak: 100", "peak: '100'", "peak"),
    "a fraction": ("peak: 100", "peak: 100.0", "peak"),
    "more than any machine has": ("peak: 100", f"peak: 1{'0' * 400}", "peak"),
    "a number without end": ("peak: 100", f"peak: 1{'0' * 9000}", "budget.yaml"),
    "infinite": ("peak: 0.001", "peak: .inf", "tolerance"),
    "kind": ("kind: forecast", "kind: guessed", "kind"),
    "an alias": ("peak: 100", "peak: &p 100", "alias"),
    "a tag": ("peak: 100", "peak: !!int x", "tag"),
    "nested": ("cells:\n", "cells: " + "[" * 5000, "budget.yaml"),
    "another key": ("kind: ", "card: x\nkind: ", "card"),
    "a card without versions": ("    l4:\n", "    h100:\n", "h100"),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG)
def test_what_is_no_budget_is_refused_with_its_place(
    suite: Path, file: Path, old: str, new: str, said: str
) -> None:
    assert check(suite, file)[0] == 0
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    code, output = check(suite, file)
    assert code == BAD_INPUT, output
    assert str(file) in output
    assert said in output
    assert "Traceback" not in output


def test_what_cannot_be_read_is_bad_input(suite: Path, file: Path, tmp_path: Path) -> None:
    folder, latin = tmp_path / "folder.yaml", tmp_path / "latin.yaml"
    folder.mkdir()
    latin.write_bytes(file.read_bytes() + b"# \xe9\n")
    for wrong, said in ((folder, "directory"), (latin, "not UTF-8"), (tmp_path / "none", "update")):
        code, output = check(suite, wrong)
        assert (code, said in output, "Traceback" in output) == (BAD_INPUT, True, False), output
    assert invoke("update", suite, "--budget", file / "below", "--reason", "x")[0] == BAD_INPUT


@pytest.mark.parametrize("grown", [False, True])
def test_a_summary_that_cannot_be_written_leaves_the_verdict(
    suite: Path, file: Path, tmp_path: Path, grown: bool
) -> None:
    if grown:
        file.write_text(file.read_text().replace("peak: 100", "peak: 50"))
    code, output = check(suite, file, "--summary", str(tmp_path))
    assert code == int(grown)
    assert f"no summary in {tmp_path}" in output


def test_an_error_of_ours_is_not_taken_for_a_cell_that_grew(
    suite: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("harness.budgets.judging.compare", broken)
    code, output = check(suite, file)
    assert code == BROKEN
    assert "Traceback" in output
    assert "RuntimeError: unforeseen" in output


def test_a_budget_of_nothing_is_not_written() -> None:
    with pytest.raises(UserError, match="no figure"):
        updated(None, Figures("measured", ("cpu",), {}), Accepted("start"))


def test_shipped_budgets_are_budgets() -> None:
    folder = Path(budget.__file__).parents[1] / "suites" / "budgets"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        assert read_budget(file).cells


@fuzzed(150)
@given(data=st.data())
def test_changed_bytes_are_another_budget_or_an_error(file: Path, data: st.DataObject) -> None:
    whole = file.read_bytes()
    new = st.binary(max_size=12) | st.text(max_size=8).map(
        lambda text: text.encode("utf-8", "surrogatepass"))  # fmt: skip
    mended = file.with_name("changed.yaml")
    mended.write_bytes(changed_bytes(data, whole, 40, new))
    found: Budget | None = None
    with suppress(UserError):
        found = read_budget(mended)
    if found is not None:
        compare.compare(found.model_copy(update={"kind": "forecast"}), CELLS, (*found.cards, CARD))
