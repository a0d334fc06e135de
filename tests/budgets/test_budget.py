"""The budget gate: its verdicts, its exit codes, and a regression that it catches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import budget
from harness.budget import _update
from harness.budgets.compare import compare
from harness.budgets.figures import Figure, Figures, figures_of
from harness.budgets.file import Budget, read_budget, updated, write_budget

SUITE = """\
name: gated
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 64, length: 64}}
methods: [lora, bitfit]
"""


def figures(**peaks: int) -> Figures:
    cells = {
        name: Figure(peak, {"activations": peak}, {"layer.*": peak}) for name, peak in peaks.items()
    }
    return Figures("forecast", "l4", cells)


def made(tmp_path: Path, **peaks: int) -> Budget:
    file = tmp_path / "budget.yaml"
    write_budget(file, updated(file, figures(**peaks), "start")[0])
    return read_budget(file)


@pytest.mark.parametrize(
    ("peak", "kind", "code", "ratchet"),
    [(100_000, "within", 0, 0), (100_100, "within", 0, 0), (100_101, "over", 1, 1),
     (99_899, "win", 0, 1)],
)  # fmt: skip
def test_tolerance(tmp_path: Path, peak: int, kind: str, code: int, ratchet: int) -> None:
    verdict = compare(made(tmp_path, a=100_000), figures(a=peak))
    assert [finding.kind for finding in verdict.findings] == [kind]
    assert (verdict.exit_code(False), verdict.exit_code(True)) == (code, ratchet)


def test_missing_and_new_cells(tmp_path: Path) -> None:
    verdict = compare(made(tmp_path, a=5, b=5), figures(a=5, c=5))
    assert {f.path: f.kind for f in verdict.findings} == {"a": "within", "b": "missing", "c": "new"}
    assert verdict.exit_code(False) == 3


def test_update_leaves_lines_that_hardly_moved(tmp_path: Path) -> None:
    file = tmp_path / "budget.yaml"
    made(tmp_path, a=100_000, b=100_000)
    new, moved = updated(file, figures(a=100_030, b=100_040), "more of b")
    assert moved == ["b"]
    assert (new.cells["a"].peak, new.cells["b"].peak) == (100_000, 100_040)
    assert [change.reason for change in new.history] == ["start", "more of b"]


def test_one_cell_a_line(tmp_path: Path) -> None:
    made(tmp_path, **{"a": 1, "b": 2})
    lines = (tmp_path / "budget.yaml").read_text().splitlines()
    assert [line.strip()[0] for line in lines[lines.index("cells:") + 1 :]] == ["a", "b"]


def invoke(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(budget.app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def leak(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep one more tensor for backward: a product that autograd saves both factors of."""
    return (inputs[0] * inputs[0].detach().clone(), *inputs[1:])


def test_gate_catches_a_method_that_keeps_one_more_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.lora import Lora

    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(SUITE)
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "before"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    arguments = (suite, "--budget", file)
    assert invoke("update", *arguments, "--reason", "first")[0] == 0
    assert invoke("check", *arguments)[0] == 0

    attach = Lora.attach

    def leaky(self: Lora, model: Any, plan: Any) -> Any:
        handle = attach(self, model, plan)
        for layer in model.bert.encoder.layer:
            layer.intermediate.register_forward_pre_hook(leak)
        return handle

    monkeypatch.setattr(Lora, "attach", leaky)
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "after"))
    summary = tmp_path / "summary.md"
    code, text = invoke("check", *arguments, "--summary", summary)
    assert code == 1
    assert "OVER  classification-64/tiny-bert/lora-r8/s0" in text
    assert "activations grew most" in text
    assert "in bert.encoder.layer.*.intermediate" in text
    assert f"python -m harness.budget update {suite}" in text
    assert "bitfit" not in text
    assert "| over |" in summary.read_text()

    assert invoke("update", *arguments, "--reason", "the product is wanted")[0] == 0
    assert invoke("check", *arguments)[0] == 0
    assert read_budget(file).history[-1].cells == 1


def test_the_command_to_accept_is_the_whole_command() -> None:
    plain = _update(Path("a.yaml"), Path("b.yaml"), "rtx4090", None)
    assert plain == "python -m harness.budget update a.yaml --budget b.yaml --reason '...'"
    whole = _update(Path("a.yaml"), Path("b.yaml"), "a6000", ["one", "two"])
    assert "--budget b.yaml --gpu a6000 --plugin one --plugin two --reason" in whole


def test_bad_input_and_other_versions(tmp_path: Path) -> None:
    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(SUITE)
    assert invoke("check", suite, "--budget", file)[0] == 2
    made(tmp_path, a=1)
    file.write_text(file.read_text().replace("tolerance: 0.001", "tolerance: much"))
    code, text = invoke("check", suite, "--budget", file)
    assert (code, "tolerance" in text) == (2, True)
    made_again = updated(tmp_path / "other.yaml", figures(a=1), "start")[0]
    write_budget(file, made_again.model_copy(update={"software": {"torch": "1.0"}}))
    assert invoke("check", suite, "--budget", file)[0] == 4
    arguments = ("check", suite, "--budget", file, "--gpu", "l4", "--other-versions")
    code, text = invoke(*arguments)
    assert (code, "MISSING  a" in text) == (3, True), "a cell that has no figure is no match"
    made_now = updated(tmp_path / "now.yaml", figures_of(suite, "l4", []), "start")[0]
    one = min(made_now.cells)
    made_now.cells[one].peak //= 2
    write_budget(file, made_now.model_copy(update={"software": {"torch": "1.0"}}))
    assert invoke("check", suite, "--budget", file, "--gpu", "l4")[0] == 4
    code, text = invoke(*arguments)
    assert (code, f"OVER  {one}" in text, "no verdict" in text) == (0, True, True)


def test_a_check_that_compares_nothing_fails(tmp_path: Path) -> None:
    verdict = compare(made(tmp_path, a=1).model_copy(update={"cells": {}}), figures(a=1))
    assert [finding.kind for finding in verdict.findings] == ["new"]
    assert verdict.exit_code(False) == verdict.exit_code(False, blind=True) == 3
