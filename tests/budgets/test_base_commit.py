"""With other versions than the file's, the base is forecast here: what moved is whose doing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from budgeted import TINY, figure, figures, invoke, made, peaks, spot, written

from harness.budgets import base as module
from harness.budgets.base import Question, base_of
from harness.budgets.compare import compare
from harness.budgets.drift import Base, allowances
from harness.budgets.figures import Figures
from harness.budgets.file import Budget
from harness.budgets.times import StepBudget
from harness.comparing.ancestry import NoBase
from harness.comparing.child import Place as Side
from harness.comparing.of_forecasts import Entry, Hold
from harness.comparing.sides import Place
from harness.errors import UserError

NOWHERE = Side("nowhere", Path(), Path(), [], "")


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, env=os.environ | who, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "x") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def base(here: Figures, file: Budget | None) -> Base:
    return Base("c0ffee", "why", here, file)


def kinds(budget: Budget, now: Figures, base: Base) -> dict[str, str]:
    found = compare(budget, now, allowed=allowances(budget, base))
    return {finding.spot.path: finding.kind for finding in found.findings}


# -- what may be needed --------------------------------------------------------------------------


def test_what_the_versions_move_is_allowed_and_no_more() -> None:
    """The file says 1000; its commit needs 1300 here: 1300 it is."""
    old = made(peaks(a=1000, b=1000, c=1000))
    now = peaks(a=1300, b=1302, c=1200)
    assert kinds(old, now, base(peaks(a=1300, b=1300, c=1300), old)) == {
        "a": "within", "b": "over", "c": "win",
    }  # fmt: skip


def test_what_was_accepted_since_is_allowed_on_top() -> None:
    """The file grew from 1000 to 1500 with a change that needs as much more here."""
    then, now = made(peaks(a=1000, b=1000)), made(peaks(a=1500, b=1500))
    here = base(peaks(a=1300, b=1300), then)
    assert kinds(now, peaks(a=1800, b=1900), here) == {"a": "within", "b": "over"}


def test_where_the_file_tells_nothing_of_the_base_the_code_alone_is_compared() -> None:
    now = made(peaks(a=1000))
    for file in (None, made(peaks(b=1)), made(figures({"a": figure(500)}, torch="1.0"))):
        here = base(peaks(a=1300), file)
        assert kinds(now, peaks(a=1300), here) == {"a": "within"}
        assert kinds(now, peaks(a=1302), here) == {"a": "over"}
    changed = made(figures({"a": figure(500, key="another")}))
    assert kinds(now, peaks(a=1300), base(peaks(a=1300), changed)) == {"a": "within"}


def test_a_cell_that_the_base_has_not_is_judged_by_the_file_or_not_at_all() -> None:
    old = made(peaks(a=1000, b=1000))
    here = base(replace(peaks(a=1000), errors={spot("b"): "unknown method"}), old)
    assert kinds(old, peaks(a=1000, b=1000), here) == {"a": "within", "b": "within"}
    verdict = compare(old, peaks(a=1000, b=1100), allowed=allowances(old, here))
    assert verdict.exit_code() == 4
    [found] = verdict.of("unjudged")
    assert found.reason == "c0ffee has no figure of it: unknown method"
    nothing = replace(here, figures=None, reason="it does not start")
    verdict = compare(old, peaks(a=900, b=1000), allowed=allowances(old, nothing))
    assert (verdict.exit_code(), verdict.of("unjudged")[0].reason) == (4, "it does not start")


def test_step_times_of_the_base_count_only_where_the_file_holds_some() -> None:
    step = StepBudget(seconds=0.1, bar=0.05)
    slow = StepBudget(seconds=0.2, bar=0.05)
    for held, told in ((None, []), (step, ["slower"])):
        old = made(figures({"a": figure(1000, step=held)}))
        for file in (old, None):  # the cell is in the file since
            here = base(figures({"a": figure(1300, step=step)}), file)
            now = figures({"a": figure(1300, step=slow)})
            verdict = compare(old, now, allowed=allowances(old, here))
            assert [finding.kind for finding in verdict.findings] == ["within"]
            assert [one.kind for one in verdict.times] == told


def test_the_place_that_grew_is_told_against_the_base() -> None:
    """Versions moved `w`, the change moved `a`."""
    old = made(figures({"x": figure(1000, places={Place("activations", "a"): 1000})}))
    moved = {Place("activations", "a"): 1000, Place("weights.base", "w"): 500}
    grown = {**moved, Place("activations", "a"): 1100}
    here = base(figures({"x": figure(1500, places=moved)}), old)
    now = figures({"x": figure(1600, places=grown)})
    [found] = compare(old, now, allowed=allowances(old, here)).findings
    assert (found.kind, found.place) == ("over", (Place("activations", "a"), 100))


# -- which commit --------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose budget file moved in its second commit of three."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "suite.yaml").write_text("then")
    written(folder / "budget.yaml", peaks(a=1000))
    commit(folder, "first")
    written(folder / "budget.yaml", peaks(a=1001, b=5))
    commit(folder, "budget")
    (folder / "suite.yaml").write_text("now")
    commit(folder, "suite")
    return folder


@pytest.fixture
def asked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Question:
    """Return a question to which a base answers without being forecast."""

    def entries(*_: Any) -> list[Entry]:
        hold = Hold(category="activations", path="layer.0", num_bytes=1300)
        return [Entry(cell="a", gpu="l4", peak_allocated=1300, holds=[hold])]

    monkeypatch.setattr(module, "entries_in", entries)
    return Question(repository / "suite.yaml", repository / "budget.yaml", ["l4"])


def named(folder: Path, revision: str) -> str:
    return git(folder, "rev-parse", revision)


def test_by_itself_it_is_the_commit_before_the_file_moved(
    repository: Path, asked: Question
) -> None:
    found = base_of(asked, None)
    assert found.commit == named(repository, "main~2")
    assert found.file is not None
    assert [at.path for at in found.file.spots] == ["a"]
    assert found.figures is not None
    assert found.figures.cells[spot("a")].places == {Place("activations", "layer.0"): 1300}


def test_against_a_branch_it_is_what_both_have(repository: Path, asked: Question) -> None:
    git(repository, "checkout", "-q", "-b", "feature", "main~1")
    mine = commit(repository)
    assert base_of(asked, "main").commit == named(repository, "main~1")
    assert base_of(asked, "main~2").commit == named(repository, "main~2")
    with pytest.raises(NoBase, match="has no revision nowhere"):
        base_of(asked, "nowhere")
    assert base_of(asked, "HEAD").commit == named(repository, f"{mine}~1"), "not with itself"
    (repository / "suite.yaml").write_text("edited")
    assert base_of(asked, "HEAD").commit == mine, "what is not committed is compared with it"


def test_a_budget_that_is_not_committed_is_judged_against_head(
    repository: Path, asked: Question
) -> None:
    other = replace(asked, budget=repository.parent / "elsewhere.yaml")
    assert base_of(other, None).commit == named(repository, "HEAD~1")
    assert base_of(other, None).file is None


def test_without_a_past_there_is_no_base(tmp_path: Path, repository: Path, asked: Question) -> None:
    for depth in ("1", "2"):
        git(tmp_path, "clone", "-q", "--depth", depth, f"file://{repository}", f"shallow{depth}")
        clone = tmp_path / f"shallow{depth}"
        here = replace(asked, suite=clone / "suite.yaml", budget=clone / "budget.yaml")
        with pytest.raises(NoBase, match=r"shallow: fetch its past .*fetch-depth: 0"):
            base_of(here, None)
        with pytest.raises(NoBase, match="fetch-depth: 0"):
            base_of(here, "main~2")
    outside = tmp_path / "suite.yaml"
    with pytest.raises(NoBase, match="is in no git repository"):
        base_of(replace(asked, suite=outside), None)
    git(tmp_path, "init", "-q")
    with pytest.raises(NoBase, match="nothing is committed"):
        base_of(replace(asked, suite=outside), None)
    commit(tmp_path)
    with pytest.raises(NoBase, match="HEAD is the first commit"):
        base_of(replace(asked, suite=outside), None)


def test_a_base_that_does_not_run_says_why(
    asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries(*_: Any) -> list[Entry]:
        raise UserError("revision abc: no module named gone")

    monkeypatch.setattr(module, "entries_in", entries)
    found = base_of(asked, "HEAD~1")
    assert found.figures is None
    assert "cannot be forecast here: revision abc: no module named gone" in found.reason


@pytest.mark.parametrize("batch", [64, 32])
def test_a_base_that_cannot_do_todays_suite_is_asked_with_its_own(
    repository: Path, asked: Question, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Where a method is new: cells with the settings that they have now are compared."""
    path = "classification-64/tiny-bert/lora-r8/s0"

    def entries(place: Side, *_: Any) -> list[Entry]:
        if place.suite == asked.suite:
            raise UserError("unknown method 'bitfit'")
        return [Entry(cell=path, gpu="l4", peak_allocated=1300)]

    monkeypatch.setattr(module, "entries_in", entries)
    asked.suite.write_text(TINY.replace("lora, bitfit", "lora"))
    monkeypatch.setattr(module, "at_revision", lambda suite, *_: replace(NOWHERE, suite=suite))
    commit(repository)
    asked.suite.write_text(TINY.replace("batch_size: 64", f"batch_size: {batch}"))
    found = base_of(asked, "HEAD").figures
    assert found is not None
    assert (spot(path) in found.cells) == (batch == 64)
    assert ("other settings" in found.why_none(spot(path))) == (batch == 32)


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
def check(repository: Path, asked: Question, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return `headroom budget check` with a figure of `a` that is not forecast."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def call(peak: int, *more: str, **versions: str) -> tuple[int, str]:
        now = figures({"a": figure(peak), "b": figure(5)}, **versions)
        monkeypatch.setattr("harness.budgets.judging.figures_of", lambda *_: now)
        return invoke("check", asked.suite, "--budget", asked.budget, *more)

    return call


def test_with_the_files_versions_the_file_judges(check: Any) -> None:
    assert check(1001)[0] == 0
    assert check(1301)[0] == 1, "whatever the base needs"


def test_other_versions_are_told_apart_from_a_change(check: Any) -> None:
    code, told = check(1301, transformers="9.9")
    assert code == 0, told
    assert "-> 9.9 (here)" in told
    assert "they alone move 1 of 2 cells" in told
    assert "VERSIONS  a\n  l4: peak 1,300 B, budget 1,000 B: +300 B (+30.00 %)" in told
    assert "to accept: headroom budget update" in told
    code, told = check(1400, transformers="9.9")
    assert code == 1
    assert "OVER  a\n  l4: peak 1,400 B, budget 1,301 B: +99 B (+7.61 %)" in told


def test_where_nothing_moved_no_base_is_needed(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "entries_in", None)
    code, told = check(1001, transformers="9.9")
    assert (code, "they move nothing beyond the tolerance" in told) == (0, True)


def test_without_a_base_there_is_no_verdict(check: Any, repository: Path) -> None:
    code, told = check(1301, "--against", "nowhere", transformers="9.9")
    assert code == 4
    assert "UNJUDGED  a\n  l4: peak 1,301 B, budget 1,001 B: +300 B (+29.97 %)\n" in told
    assert "no verdict: " in told
    assert "has no revision nowhere" in told
    assert check(1001, "--against", "nowhere", transformers="9.9")[0] == 0
