"""The gate holds step times where its file has them: within their error bar, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from processors import calibration
from typer.testing import CliRunner

from harness import budget
from harness.budgets.compare import compare
from harness.budgets.figures import Figure, Figures
from harness.budgets.file import Budget, read_budget, updated, write_budget
from harness.budgets.times import StepBudget
from harness.budgets.wording import lines, markdown
from harness.forecasting import calibrated

SUITE = """\
name: gated
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 2, length: 16}}
methods: [lora]
"""


def figures(**steps: StepBudget | None) -> Figures:
    cells = {name: Figure(1000, {"activations": 1000}, {}, step) for name, step in steps.items()}
    return Figures("forecast", "l4", cells)


def step(seconds: float, bar: float = 0.05) -> StepBudget:
    return StepBudget(seconds=seconds, bar=bar)


def made(tmp_path: Path, **steps: StepBudget | None) -> Budget:
    file = tmp_path / "budget.yaml"
    write_budget(file, updated(file, figures(**steps), "start")[0])
    return read_budget(file)


@pytest.mark.parametrize(
    ("now", "kind", "code", "ratchet"),
    [(step(0.104), "within", 0, 0), (step(0.106), "slower", 1, 1), (step(0.094), "faster", 0, 1),
     (step(0.12, bar=0.25), "within", 0, 0), (None, "missing", 3, 3)],
)  # fmt: skip
def test_a_step_may_move_as_far_as_the_wider_bar(
    tmp_path: Path, now: StepBudget | None, kind: str, code: int, ratchet: int
) -> None:
    verdict = compare(made(tmp_path, a=step(0.1)), figures(a=now))
    assert [one.kind for one in verdict.times] == [kind]
    assert [one.kind for one in verdict.findings] == ["within"], "its bytes did not move"
    assert (verdict.exit_code(False), verdict.exit_code(True)) == (code, ratchet)
    assert verdict.exit_code(True, blind=True) == (3 if kind == "missing" else 0)


def test_a_file_without_times_holds_none_and_is_what_it_was(tmp_path: Path) -> None:
    old = made(tmp_path, a=None)
    assert "step" not in (tmp_path / "budget.yaml").read_text()
    assert compare(old, figures(a=step(9.0))).times == []


def test_what_moved_is_told_with_how_far_it_may(tmp_path: Path) -> None:
    verdict = compare(made(tmp_path, a=step(0.1), b=step(0.1)), figures(a=step(0.12), b=step(0.1)))
    said = "step 120 ms, budget 100 ms (+20.0 %, may move by 5 %)"
    told = list(lines(verdict, "accept"))
    assert f"SLOWER  a: {said}" in told
    assert "step times: 1 within, 1 slower, 0 faster, 0 missing, 0 new" in told
    assert told[-1] == "to accept: accept"
    assert f"| `a` | slower | {said} |" in markdown(verdict, "budget.yaml")


def test_update_keeps_lines_whose_time_hardly_moved(tmp_path: Path) -> None:
    made(tmp_path, a=step(0.1), b=step(0.1))
    now = figures(a=step(0.1015), b=step(0.102))
    new, moved = updated(tmp_path / "budget.yaml", now, "b got slower")
    assert moved == ["b"]
    assert {path: one.seconds for path, one in new.steps.items()} == {"a": 0.1, "b": 0.102}
    none, moved = updated(tmp_path / "budget.yaml", figures(a=None, b=None), "no times any more")
    assert (moved, none.steps) == (["a", "b"], {})


def invoke(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(budget.app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def test_the_commands_hold_time_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(SUITE)
    update = ("update", suite, "--budget", file, "--reason", "x")
    assert invoke(*update)[0] == 0
    assert not read_budget(file).steps
    assert invoke(*update, "--time")[0] == 0
    assert len(read_budget(file).steps) == 1
    code, told = invoke("check", suite, "--budget", file)
    assert (code, told.splitlines()[-1].startswith("step times: 1 within")) == (0, True)
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "cache"))
    calibrated.keep(calibration())  # a host that is faster than the reference
    assert invoke("check", suite, "--budget", file, "--ratchet")[0] == 0, (
        "a file means the same everywhere"
    )
    [path] = read_budget(file).steps
    held = read_budget(file)
    fast = held.steps[path].model_copy(update={"seconds": held.steps[path].seconds / 2})
    held.cells[path] = held.cells[path].model_copy(update={"step": fast})
    write_budget(file, held)
    code, told = invoke("check", suite, "--budget", file)
    assert code == 1
    assert "SLOWER" in told
    assert invoke(*update)[0] == 0, "as the file does: it is written anew, with its time"
    assert invoke("check", suite, "--budget", file)[0] == 0
    assert invoke(*update, "--no-time")[0] == 0
    assert not read_budget(file).steps


def test_time_is_refused_where_there_is_none(tmp_path: Path) -> None:
    suite, runs = tmp_path / "gated.yaml", tmp_path / "runs"
    suite.write_text(SUITE)
    runs.mkdir()
    (runs / "suite.json").write_text("{}")
    more = ("--budget", tmp_path / "b.yaml", "--reason", "x", "--time")
    code, told = invoke("update", suite, *more, "--gpu", "custom:24:8.6")
    assert (code, "no datasheet of custom:24:8.6's speed is known" in told) == (2, True)
    code, told = invoke("update", runs, *more)
    assert (code, "is a run folder" in told) == (2, True)
