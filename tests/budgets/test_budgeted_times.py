"""The gate holds step times where its file has them: within their error bar, no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from budgeted import figure, figures, invoke, made, spot
from processors import calibration

from harness.budgets.accepting import Accepted, updated
from harness.budgets.compare import compare
from harness.budgets.figures import Figures
from harness.budgets.file import Budget, read_budget, write_budget
from harness.budgets.judging import Judged
from harness.budgets.markdown import markdown
from harness.budgets.times import StepBudget
from harness.budgets.wording import told
from harness.forecasting import calibrated

SUITE = """\
name: gated
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 2, length: 16}}
methods: [lora]
"""


def timed(**steps: StepBudget | None) -> Figures:
    return figures({path: figure(1000, step) for path, step in steps.items()})


def step(seconds: float, bar: float = 0.05) -> StepBudget:
    return StepBudget(seconds=seconds, bar=bar)


def steps_of(budget: Budget) -> dict[str, float]:
    return {at.path: row.step.seconds for at, row in budget.spots.items() if row.step}


@pytest.mark.parametrize(
    ("now", "kind", "code", "ratchet"),
    [(step(0.104), "within", 0, 0), (step(0.106), "slower", 1, 1), (step(0.094), "faster", 0, 1),
     (step(0.12, bar=0.25), "within", 0, 0), (None, "missing", 3, 3)],
)  # fmt: skip
def test_a_step_may_move_as_far_as_the_wider_bar(
    now: StepBudget | None, kind: str, code: int, ratchet: int
) -> None:
    verdict = compare(made(timed(a=step(0.1))), timed(a=now))
    assert [one.kind for one in verdict.times] == [kind]
    assert [one.kind for one in verdict.findings] == ["within"], "its bytes did not move"
    assert (verdict.exit_code(), verdict.exit_code(ratchet=True)) == (code, ratchet)


def test_a_file_without_times_holds_none_and_is_what_it_was(tmp_path: Path) -> None:
    old = made(timed(a=None))
    write_budget(tmp_path / "budget.yaml", old)
    assert "step" not in (tmp_path / "budget.yaml").read_text()
    assert compare(old, timed(a=step(9.0))).times == []


def test_what_moved_is_told_with_how_far_it_may() -> None:
    verdict = compare(made(timed(a=step(0.1), b=step(0.1))), timed(a=step(0.12), b=step(0.1)))
    said = "step 120 ms, budget 100 ms (+20.0 %, may move by 5 %)"
    found = Judged(verdict, {})
    lines = list(told(found, "accept"))
    assert lines[0] == "SLOWER  a"
    assert f"  l4: {said}" in lines
    assert "step times: 1 within, 1 slower, 0 faster, 0 missing, 0 new" in lines
    assert lines[-1] == "to accept: accept"
    assert f"| `a` | l4 | slower | {said} |" in markdown(found, "budget.yaml", "accept")


def test_update_keeps_blocks_whose_time_hardly_moved() -> None:
    old = made(timed(a=step(0.1), b=step(0.1)))
    now = timed(a=step(0.1015), b=step(0.102))
    new, moved = updated(old, now, Accepted("b got slower"))
    assert moved == [spot("b")]
    assert steps_of(new) == {"a": 0.1, "b": 0.102}
    none, moved = updated(old, timed(a=None, b=None), Accepted("no times any more"))
    assert (moved, steps_of(none)) == ([spot("a"), spot("b")], {})


def test_the_commands_hold_time_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(SUITE)
    update = ("update", suite, "--budget", file, "--reason", "x")
    assert invoke(*update)[0] == 0
    assert not read_budget(file).steps
    assert invoke(*update, "--time")[0] == 0
    assert read_budget(file).steps
    code, said = invoke("check", suite, "--budget", file)
    assert (code, said.splitlines()[-1].startswith("step times: 1 within")) == (0, True)
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "cache"))
    calibrated.keep(calibration())  # a host that is faster than the reference
    assert invoke("check", suite, "--budget", file, "--ratchet")[0] == 0, (
        "a file means the same everywhere"
    )
    held = read_budget(file)
    [row] = held.spots.values()
    assert row.step is not None
    row.step = row.step.model_copy(update={"seconds": row.step.seconds / 2})
    write_budget(file, held)
    code, said = invoke("check", suite, "--budget", file)
    assert code == 1
    assert "SLOWER" in said
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
    code, said = invoke("update", suite, *more, "--gpu", "custom:24:8.6")
    assert (code, "no datasheet of custom:24:8.6's speed is known" in said) == (2, True)
    code, said = invoke("update", runs, *more)
    assert (code, "is a run folder" in said) == (2, True)
