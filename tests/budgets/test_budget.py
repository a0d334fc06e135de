"""The budget gate: its verdicts, its exit codes, and a regression that it catches."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from budgeted import CARD, TINY, figure, figures, invoke, made, peaks, spot, written

from harness.budget import _update
from harness.budgets.accepting import Accepted, failing, tolerances, updated
from harness.budgets.compare import compare
from harness.budgets.file import read_budget, write_budget
from harness.budgets.wording import details, lines
from harness.comparing.sides import Place
from harness.errors import UserError


@pytest.mark.parametrize(
    ("peak", "kind", "code", "ratchet"),
    [(100_000, "within", 0, 0), (100_100, "within", 0, 0), (100_101, "over", 1, 1),
     (99_899, "win", 0, 1)],
)  # fmt: skip
def test_tolerance(peak: int, kind: str, code: int, ratchet: int) -> None:
    verdict = compare(made(peaks(a=100_000)), peaks(a=peak))
    assert [finding.kind for finding in verdict.findings] == [kind]
    assert (verdict.exit_code(), verdict.exit_code(ratchet=True)) == (code, ratchet)


def test_missing_and_new_cells() -> None:
    verdict = compare(made(peaks(a=5, b=5)), peaks(a=5, c=5))
    found = {finding.spot.path: finding.kind for finding in verdict.findings}
    assert found == {"a": "within", "b": "missing", "c": "new"}
    assert verdict.exit_code() == 3


def test_new_cells_are_named_and_fail_under_strict() -> None:
    verdict = compare(made(peaks(a=5)), peaks(a=5, b=2**20))
    assert (verdict.exit_code(), verdict.exit_code(strict=True)) == (0, 3)
    told = list(lines(verdict))
    assert told[:2] == ["NEW  b", "  l4: peak 1.0 MiB, no budget yet"]


def test_category_and_module_are_of_the_same_tensors() -> None:
    """Two maxima of their own would say: activations (+50), in the module `w` (+40 of weights)."""
    before = figure(1000, split={"activations": 500, "weights.base": 500},
                    places={Place("activations", "a"): 250, Place("activations", "b"): 250,
                            Place("weights.base", "w"): 500})  # fmt: skip
    after = figure(1090, split={"activations": 550, "weights.base": 540},
                   places={Place("activations", "a"): 275, Place("activations", "b"): 275,
                           Place("weights.base", "w"): 540})  # fmt: skip
    [found] = compare(made(figures({"x": before})), figures({"x": after})).findings
    assert found.place == (Place("weights.base", "w"), 40)
    assert list(details(found))[-1] == "weights.base of w grew most: +40 B"


def test_a_module_that_got_another_name_did_not_grow() -> None:
    before = {Place("activations", "old"): 600, Place("activations", "b"): 400}
    after = {Place("activations", "new"): 600, Place("activations", "b"): 420}
    [found] = compare(
        made(figures({"x": figure(1000, places=before)})),
        figures({"x": figure(1020, places=after)}),
    ).findings
    assert found.place == (Place("activations", "b"), 20)


def test_a_changed_setting_is_a_changed_cell() -> None:
    before = figure(1000, key="k1", settings={"train.batch_size": 64, "method": "lora"})
    after = figure(2000, key="k2", settings={"method": "lora"})
    verdict = compare(made(figures({"x": before})), figures({"x": after}))
    [found] = verdict.findings
    assert (found.kind, verdict.exit_code()) == ("changed", 3)
    told = list(lines(verdict))
    assert told[0] == "CHANGED  x"
    assert "  this cell changed: train.batch_size 64 -> 32" in told, "32 is the default"
    same = figure(1000, key="k2", settings={"train.batch_size": 64, "train.lr": 0.1})
    verdict = compare(made(figures({"x": before, "y": before})), figures({"x": same, "y": before}))
    assert (verdict.exit_code(), verdict.exit_code(strict=True)) == (0, 3), "no byte moved"


def test_a_check_that_compares_nothing_fails() -> None:
    verdict = compare(made(peaks(a=1)).model_copy(update={"cells": {}}), peaks(a=1))
    assert [finding.kind for finding in verdict.findings] == ["new"]
    assert verdict.exit_code() == 3


def test_update_leaves_blocks_that_hardly_moved() -> None:
    old = made(peaks(a=100_000, b=100_000))
    new, moved = updated(old, peaks(a=100_030, b=100_040), Accepted("more of b"))
    assert moved == [spot("b")]
    assert {at.path: row.peak for at, row in new.spots.items()} == {"a": 100_000, "b": 100_040}
    assert [row.reason for row in new.spots.values()] == ["start", "more of b"]


def test_only_what_fails_is_accepted() -> None:
    old = made(peaks(a=1000, b=1000, c=1000, d=1000))
    now = peaks(a=900, b=1100, c=1000, e=1000)  # a wins, b is over, d is gone, e is new
    new, moved = updated(old, now, failing(old, now, Accepted("only b")))
    assert moved == [spot("b"), spot("d"), spot("e")]
    assert {at.path: row.peak for at, row in new.spots.items()} == {
        "a": 1000, "b": 1100, "c": 1000, "e": 1000,
    }  # fmt: skip
    other = figures({"a": figure(1)}, torch="1.0")
    with pytest.raises(UserError, match=r"--only-failing: .* are of torch .*, here is torch 1.0"):
        failing(old, other, Accepted("x"))


def test_metrics_have_their_own_tolerance() -> None:
    before = figure(1000, sizes={"peak": 1000, "reserved": 2000})
    old = made(figures({"x": before}), reserved=0.05, activations=0.5)
    assert old.tolerance == {"peak": 0.001, "reserved": 0.05, "activations": 0.5}
    for reserved, kind in ((2100, "within"), (2101, "over"), (1899, "win")):
        now = figure(1000, sizes={"peak": 1000, "reserved": reserved})
        [found] = compare(old, figures({"x": now})).findings
        assert (found.kind, found.moved) == (kind, ("reserved",) if kind != "within" else ())
    grown = figure(1000, split={"activations": 1501})
    [found] = compare(old, figures({"x": grown})).findings
    assert found.moved == ("activations",)
    assert "l4: activations 1,501 B, budget 1,000 B: +501 B (+50.10 %)" in details(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [("peek=0.1", "no metric 'peek'; did you mean 'peak'"), ("peak=much", "'much' is no number"),
     ("peak=1", "a share from 0 to below 1"), ("peak", "'' is no number")],
)  # fmt: skip
def test_tolerances_that_are_none(given: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        tolerances([given])
    assert f"--tolerance {given}: " in str(error.value)
    assert said in str(error.value)


def test_several_cards_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "budget.yaml"
    one = written(file, peaks(a=1000))
    other = figures({"a": figure(2000)}, "a6000")
    both, moved = updated(one, other, Accepted("one more card"))
    assert moved == [spot("a", "a6000")]
    assert {card: row.peak for card, row in both.cells["a"].items()} == {"l4": 1000, "a6000": 2000}
    assert both.cells["a"]["l4"].reason == "start"
    verdict = compare(both, figures({"a": figure(2000)}, "a6000"))
    assert [finding.spot for finding in verdict.findings] == [spot("a", "a6000")]
    verdict = compare(both, peaks(a=1000), cards=("l4", "a6000"))
    assert [finding.kind for finding in verdict.findings] == ["missing", "within"]


def repository(folder: Path, *files: Path) -> None:
    """Commit the files, and something else after them."""
    who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    commit = ("commit", "-q", "--allow-empty", "-m", "x")
    for command in (("init", "-q"), ("add", *files), commit, commit):
        subprocess.run(["git", "-C", folder, *command], env=os.environ | who, check=True)


def leak(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep one more tensor for backward: a product that autograd saves both factors of."""
    return (inputs[0] * inputs[0].detach().clone(), *inputs[1:])


def test_gate_catches_a_method_that_keeps_one_more_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.lora import Lora

    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(TINY)
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "before"))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    arguments = (suite, "--budget", file)
    assert invoke("update", *arguments, "--reason", "first", "--gpu", "rtx4090,l4")[0] == 0
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
    assert text.count("OVER  classification-64/tiny-bert/lora-r8/s0\n") == 2, "on both cards"
    assert "  activations of bert.encoder.layer.*.intermediate grew most: +4.0 MiB\n" in text
    assert f"to accept: headroom budget update {suite}" in text
    assert "bitfit" not in text
    assert "| l4 | over |" in summary.read_text()
    assert "activations of bert.encoder.layer.\\*.intermediate +4.0 MiB" in summary.read_text()

    # The same where the file is of other versions, which needed less for BitFit.
    whole = file.read_bytes()
    shutil.copytree(tmp_path / "before", tmp_path / "after" / "base")  # what the base needs
    old = read_budget(file)
    for at, row in old.spots.items():
        row.peak -= row.peak // 10 if "bitfit" in at.path else 0
    cards = {card: {**named, "transformers": "5.0"} for card, named in old.cards.items()}
    write_budget(file, old.model_copy(update={"cards": cards}))
    repository(tmp_path, suite, file)
    code, text = invoke("check", *arguments)
    assert code == 1
    assert "versions: transformers 5.0 (file) -> " in text
    assert "they alone move 2 of 4 cells" in text
    assert text.count("VERSIONS  classification-64/tiny-bert/bitfit/s0\n") == 2
    assert text.count("OVER  classification-64/tiny-bert/lora-r8/s0\n") == 2
    assert "  activations of bert.encoder.layer.*.intermediate grew most: +4.0 MiB\n" in text
    assert "2 within, 2 over, 0 win" in text
    file.write_bytes(whole)

    accept = ("--only-failing", "--reason", "the product is wanted")
    assert invoke("update", *arguments, *accept)[0] == 0
    assert invoke("check", *arguments)[0] == 0
    reasons = [row.reason for row in read_budget(file).spots.values()]
    assert sorted(reasons) == [*["first"] * 2, *["the product is wanted"] * 2]


def test_the_command_to_accept_is_the_whole_command() -> None:
    plain = _update(Path("a.yaml"), Path("b.yaml"), None, None)
    assert plain == "headroom budget update a.yaml --budget b.yaml --reason '...'"
    whole = _update(Path("a b.yaml"), Path("b.yaml"), "a6000", ["one", "two"])
    assert "'a b.yaml' --budget b.yaml --gpu a6000 --plugin one --plugin two --reason" in whole


def test_bad_input(tmp_path: Path) -> None:
    suite, file = tmp_path / "gated.yaml", tmp_path / "budget.yaml"
    suite.write_text(TINY)
    assert invoke("check", suite, "--budget", file)[0] == 2
    written(file, peaks(a=1))
    whole = file.read_text()
    for old, new, said in (
        ("peak: 0.001", "peak: much", "tolerance"),
        ("peak: 0.001", "peek: 0.001", "no metric 'peek'"),
        (f"    {CARD}:\n", "    h100:\n", "h100 has budgets"),
    ):
        file.write_text(whole.replace(old, new))
        code, text = invoke("check", suite, "--budget", file)
        assert (code, said in text) == (2, True), text
    file.write_text(whole)
    code, text = invoke("check", suite, "--budget", file, "--gpu", "h100")
    assert (code, "--gpu h100: " in text, "holds budgets of l4" in text) == (2, True, True)
