"""The budget file: one that can be read in a diff, that merges, and that old ones become."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from budgeted import figure, figures, invoke, made, peaks, spot, written
from hypothesis import example, given
from hypothesis import strategies as st

from harness.budgets.accepting import Accepted, updated
from harness.budgets.compare import compare
from harness.budgets.file import OUTSIDE, read_budget, write_budget
from harness.comparing.sides import Place

LONGEST = 200

OLD = """\
schema: 1
kind: forecast
gpu: l4
software:
  torch: 2.13.0
  transformers: 5.24.0
  peft: 0.21.2
tolerance: 0.001
history:
- {reason: 'First: budgets', commit: 018f4cbc9e93, cells: 1}
cells:
  a: {peak: 1000, split: {activations: 1000}, modules: {layer.*: 900, ? '' : 100}}
"""


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=os.environ | who, capture_output=True, text=True)


def test_two_pull_requests_that_move_other_cells_merge(tmp_path: Path) -> None:
    file = tmp_path / "budget.yaml"
    start = written(file, peaks(a=1000, b=1000, c=1000, d=1000))
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "start")
    for branch, now in (
        ("one", peaks(a=1000, b=1100, c=1000, d=1000, e=5)),  # b grew, e is new
        ("two", peaks(a=1000, aa=7, c=900, d=1000, b=1000)),  # c fell, aa is new
    ):
        git(tmp_path, "checkout", "-q", "-b", branch, "main")
        write_budget(file, updated(start, now, Accepted(f"pull request {branch}"))[0])
        git(tmp_path, "commit", "-q", "-a", "-m", branch)
    done = git(tmp_path, "merge", "-q", "-m", "both", "one")
    assert done.returncode == 0, done.stdout + done.stderr
    both = {at.path: row for at, row in read_budget(file).spots.items()}
    assert {path: row.peak for path, row in both.items()} == {
        "a": 1000, "aa": 7, "b": 1100, "c": 900, "d": 1000, "e": 5,
    }  # fmt: skip
    assert (both["b"].reason, both["c"].reason) == ("pull request one", "pull request two")


def test_lines_are_short_and_what_moved_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "budget.yaml"
    places = {Place("activations", f"model.layers.*.block_{n}.self_attention.q_proj"): 1000 + n
              for n in range(40)}  # fmt: skip
    settings = {f"train.a_setting_of_some_length_{n}": "value" * 8 for n in range(20)}
    one = figure(100_000, places=places, settings=settings)
    start = made(figures({"a": one}), reason="words " * 100)
    write_budget(file, start)
    before = file.read_text().splitlines()
    assert max(map(len, before)) <= LONGEST
    assert read_budget(file) == start
    grown = {**places, Place("activations", "model.layers.*.block_7.self_attention.q_proj"): 9000}
    now = figure(107_993, places=grown, settings=settings)
    write_budget(file, updated(start, figures({"a": now}), Accepted("why"))[0])
    after = file.read_text().splitlines()
    added = [line.strip() for line in after if line not in before]
    assert "model.layers.*.block_7.self_attention.q_proj: 9000" in added
    assert len(added) == 4, "the reason, the peak, the category and the place"


@given(
    path=st.text(min_size=1), module=st.text(), value=st.text() | st.integers() | st.floats(0, 1)
)
@example(path="\x85", module="a\u2028", value="\x1c\n")
def test_whatever_names_are_they_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, path: str, module: str, value: str | float
) -> None:
    file = tmp_path_factory.mktemp("any") / "budget.yaml"
    one = figure(10, places={Place("activations", module): 10}, settings={"x": value})
    start = made(figures({path: one}))
    write_budget(file, start)
    found = read_budget(file)
    assert list(found.spots) == [spot(path)]
    assert found.spots[spot(path)].figure().places == {Place("activations", module): 10}
    assert [str(held) for held in found.spots[spot(path)].settings.values()] == [str(value)]


def test_a_file_of_schema_1_is_read_and_update_converts_it(tmp_path: Path) -> None:
    file = tmp_path / "budget.yaml"
    file.write_text(OLD)
    old = read_budget(file)
    assert (old.cards["l4"]["torch"], old.tolerance) == ("2.13.0", {"peak": 0.001})
    assert old.history == ["First: budgets"]
    places = {Place("activations", "layer.*"): 1000, Place("inputs", ""): 100}
    now = figures({"a": figure(1100, places=places)})
    [found] = compare(old, now).findings
    assert (found.kind, found.place) == ("over", (Place("", "layer.*"), 100))
    [found] = compare(old, figures({"a": figure(1000, places=places)})).findings
    assert found.kind == "within"
    new, moved = updated(old, figures({"a": figure(1000, places=places)}), Accepted("convert"))
    assert moved == []
    write_budget(file, new)
    text = file.read_text()
    assert text.startswith("schema: 2\n")
    assert "First: budgets" in text
    assert read_budget(file).cells["a"]["l4"].places == {
        "activations": {"layer.*": 1000}, "inputs": {OUTSIDE: 100},
    }  # fmt: skip
    assert read_budget(file).cells["a"]["l4"].key == "k"


def test_update_says_that_it_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.budgets import figures as module

    monkeypatch.setattr(module, "figures_of", lambda *_: peaks(a=1000))
    file = tmp_path / "budget.yaml"
    file.write_text(OLD)
    code, told = invoke("update", "suite.yaml", "--budget", file, "--reason", "x")
    assert (code, "written as schema 2; it was of schema 1" in told) == (0, True)
    code, told = invoke("update", "suite.yaml", "--budget", file, "--reason", "x")
    assert (code, "schema" in told) == (0, False)
