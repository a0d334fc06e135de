"""A report describes the run that was: lengths, settings, overrides, command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import SUITE, record
from typer.testing import CliRunner

from harness.main import app
from harness.record import Record
from harness.reporting.comparison import compare_methods
from harness.reporting.groups import Group
from harness.reporting.markdown import render
from harness.reporting.ran import options, what_ran
from harness.reporting.sections import Report, section_of
from harness.reporting.tables import whole_tables
from harness.store import Store
from harness.suite.load import load_suite
from harness.suite.optimizers import OPTIMIZERS
from harness.suite.settings import TrainSettings
from harness.tasks.families.base import FAMILY_SETTINGS

ASKED = {"command": "headroom run small.yaml train.max_steps=9", "overrides": ["train.max_steps=9"]}


def records(folder: Path, text: str = "", *overrides: str, **rest: Any) -> list[Record]:
    file = folder / "small.yaml"
    file.write_text(SUITE + text)
    return [record(cell, 0.5, **rest) for cell in load_suite(file, overrides).cells()]


def described(found: list[Record]) -> str:
    suite = {"name": "small", "description": "Two epochs of it."}
    return render(Report([section_of(Group("small", suite, found))])).splitlines()[2]


def test_the_file_s_description_is_quoted_where_overrides_changed_it(tmp_path: Path) -> None:
    plain = records(tmp_path)
    assert described(plain) == "Two epochs of it."
    changed = [plain[0], *records(tmp_path, invocation=ASKED)[1:]]
    assert described(changed) == (
        "The suite's file says: *Two epochs of it.* Overrides changed it: see below."
    )
    assert described(records(tmp_path, invocation=None)) == (
        "The suite's file says: *Two epochs of it.* What was overridden is not recorded."
    )


def test_every_setting_that_acted_is_named(tmp_path: Path) -> None:
    # Values that are neither defaults nor off.
    given = {"accumulate": 2, "warmup": 0.5, "weight_decay": 0.25, "label_smoothing": 0.125,
             "max_steps": 9, "head_lr": 0.75, "eval_batch_size": 7, "precision": "bf16",
             "length_grouping": "true", "gradient_checkpointing": "true", "outputs": "kept",
             "train_pooler": "true", "checkpoint": "last", "empty_cache_steps": 5}  # fmt: skip
    overrides = [f"train.{name}={value}" for name, value in given.items()]
    [settings] = [n for n in what_ran(records(tmp_path, "", *overrides)) if "Settings" in n]
    named = {part.split()[0] for part in settings.removeprefix("Settings: ").split(", ")}
    # Nothing to texts with a label each, or not asked for; but adamw's own are said.
    fields = TrainSettings.model_fields.items()
    unsaid = {n for n, field in fields if field.exclude_if and field.exclude_if(field.default)}
    others = {*FAMILY_SETTINGS, *unsaid} - {*OPTIMIZERS["adamw"].own_settings, *given}
    assert named == set(TrainSettings.model_fields) - others, "each of them acts here"
    for name, value in given.items():
        assert f"{name} {value}" in settings
    off = "\n".join(what_ran(records(tmp_path)))
    assert not any(name in off for name in given if name not in ("accumulate", "eval_batch_size",
                                                                 "precision")), off  # fmt: skip


def test_a_default_that_was_not_written_down_is_said_beside_another_value(tmp_path: Path) -> None:
    rules = "rules:\n- {methods: [full], train: {outputs: kept, empty_cache_steps: 3}}\n"
    [differ] = [n for n in what_ran(records(tmp_path, rules)) if "that differ" in n]
    assert "None" not in differ
    assert "outputs kept (full), dropped (" in differ
    assert "empty_cache_steps 3 (full), null (" in differ


def test_settings_that_differ_are_named_with_whose_they_are(tmp_path: Path) -> None:
    rules = (
        "rules:\n- {methods: [full], train: {lr: 0.25}}\n- {tasks: [rte], train: {epochs: 7}}\n"
        "- {methods: [full], tasks: [rte], train: {clip: null}}\n"
    )
    [differ] = [n for n in what_ran(records(tmp_path, rules)) if "that differ" in n]
    assert "lr 0.25 (full), 0.001 (lora-r8)" in differ
    assert "epochs 3 (acceptability), 7 (rte)" in differ
    assert "clip 1 (acceptability full, acceptability lora-r8, rte lora-r8), null (rte full)" in (
        differ
    )


def test_the_length_of_training_is_what_was_trained(tmp_path: Path) -> None:
    found = records(tmp_path, "", "train.max_steps=15", steps=15, epochs=0.1153)
    assert what_ran(found)[0] == "Training: 15 steps, 0.115 of 3 epochs, cut by max_steps."
    old = records(tmp_path, steps=15, epochs=None, invocation=None)
    assert what_ran(old)[0] == "Training: 15 steps, share not recorded, of 3 epochs."
    assert what_ran(old)[-1] == "Command: not recorded."
    assert what_ran(records(tmp_path, steps=None))[0] == "Training: nothing."


def test_every_override_is_named_with_its_cells(tmp_path: Path) -> None:
    plain = records(tmp_path)
    assert not any("Other than" in note for note in what_ran(plain))
    changed = [*plain[:4], *records(tmp_path, invocation=ASKED)[4:]]
    assert (
        "Other than in the suite's file: nothing (acceptability), `train.max_steps=9` (rte)."
        in what_ran(changed)
    )
    assert what_ran(records(tmp_path, invocation=ASKED))[-2] == (
        "Other than in the suite's file: `train.max_steps=9`."
    )


def test_every_option_of_a_method_is_told(tmp_path: Path) -> None:
    full, lora = options(records(tmp_path))
    assert full == "full: none"
    assert lora.startswith("lora-r8: ")
    assert "r 8" in lora
    assert "alpha " in lora, "a default"


def test_every_command_that_made_records_is_told(tmp_path: Path) -> None:
    found = [*records(tmp_path)[:3], *records(tmp_path, invocation=ASKED)[3:]]
    assert what_ran(found)[-1] == (
        "Command: `headroom run small.yaml`, then `headroom run small.yaml train.max_steps=9`."
    )


@pytest.mark.parametrize(("lengths", "header", "said"), [
    ((64, 64), "fwd GFLOP at 64", "one example, of 64 tokens (max_length);"),
    ((64, 128), "fwd GFLOP", "one example, of 64/128 tokens (max_length);"),
    ((None, None), "fwd GFLOP", "the first of the training rows, its length not recorded;"),
    ((None, 64), "fwd GFLOP", "of 64 tokens (max_length) or the first of the training rows"),
])  # fmt: skip
def test_the_length_of_the_forward_pass_is_told(
    tmp_path: Path, lengths: tuple[int | None, int | None], header: str, said: str
) -> None:
    from harness.reporting.caption import caption

    found = records(tmp_path)
    for each in found:
        assert each.flops is not None
        each.flops.forward_length = lengths[each.task == "rte"]
    comparison = compare_methods(found)
    assert header in whole_tables(comparison)[0].headers
    assert said in "\n".join(caption(comparison))


def test_a_run_writes_its_command_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(
        "name: small\nmodel: {config: tiny-bert}\nmethods: [full]\ndescription: Three epochs.\n"
        "tasks: [{name: acceptability, train_rows: 32, evaluation_rows: 8}]\n"
    )
    out, override = tmp_path / "out", "train.max_steps=2"
    arguments = ["run", str(file), override, "--out", str(out), "--only", "*/full/*"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    [one] = Store(out).records()
    assert one.invocation is not None
    assert one.invocation.overrides == [override]
    assert one.invocation.command == f"headroom run {file} {override} --only '*/full/*' --out {out}"
    assert (one.steps, one.epochs) == (2, 2.0)
    text = (out / "report.md").read_text()
    assert "The suite's file says: *Three epochs.* Overrides changed it" in text
    assert "Training: 2 steps, 2 of 3 epochs, cut by max_steps." in text
