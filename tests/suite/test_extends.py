"""Suites that extend others, and what suites assume."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.suite.assumed import sentences
from harness.suite.load import load_suite

BASE = """\
name: base
description: of the base
model: {config: tiny-bert}
tasks:
  - {name: rte, epochs: 7}
  - {name: cola, epochs: 9}
methods:
  - full
  - {lora: {r: 4}, label: small}
  - {lora: {r: 8}, label: large}
train: {lr: 1.0e-3, clip: 0.5}
rules:
  - {methods: [small], train: {lr: 2.0e-3}}
seeds: [0, 1]
assumed: {train.clip: the paper does not say, seeds: so many}
"""


def write(folder: Path, text: str, name: str = "above.yaml") -> Path:
    (folder / "base.yaml").write_text(BASE)
    file = folder / name
    file.write_text(text)
    return file


def test_what_is_not_said_is_taken_over(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, "name: above\nextends: base.yaml\nseeds: [5]\n"))
    base = load_suite(tmp_path / "base.yaml")
    assert (suite.name, suite.description) == ("above", "")
    assert suite.tasks == base.tasks
    assert [cell.key for cell in suite.cells()] == [
        cell.model_copy(update={"seed": 5}).key for cell in base.cells() if cell.seed == 0
    ]


def test_names_choose_entries_with_their_settings(tmp_path: Path) -> None:
    text = "name: above\nextends: base.yaml\ntasks: [cola, sst2]\nmethods: [large, bitfit, lora]\n"
    suite = load_suite(write(tmp_path, text + "rules: []\n"))
    assert [(task.name, task.train.given()) for task in suite.tasks] == [
        ("cola", {"epochs": 9}), ("sst2", {}),
    ]  # fmt: skip
    # A label is one entry's; a name is all entries' of that name.
    labels = [method.shown for method in suite.methods]
    assert labels == ["large", "bitfit", "small", "large"]


def test_settings_merge_and_rules_follow(tmp_path: Path) -> None:
    text = "name: above\nextends: base.yaml\ntrain: {lr: 3.0e-3}\n"
    suite = load_suite(write(tmp_path, text + "rules: [{methods: [large], train: {lr: 4.0e-3}}]\n"))
    rates = {cell.method_label: cell.train.lr for cell in suite.cells()}
    assert rates == {"full": 3e-3, "small": 2e-3, "large": 4e-3}
    assert {cell.train.clip for cell in suite.cells()} == {0.5}


def test_one_model_replaces_several_and_back(tmp_path: Path) -> None:
    models = "models: [{config: tiny-bert}, {config: tiny-roberta}]\n"
    first = load_suite(write(tmp_path, "name: above\nextends: base.yaml\n" + models))
    assert [model.name for model in first.chosen_models] == ["tiny-bert", "tiny-roberta"]
    second = "name: top\nextends: above.yaml\nmodel: {config: tiny-gpt2}\n"
    top = load_suite(write(tmp_path, second, "top.yaml"))
    assert [model.name for model in top.chosen_models] == ["tiny-gpt2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nextends: bas.yaml\n", "above.yaml:2: extends bas.yaml: "),
        ("name: a\nextends: above.yaml\n", "above.yaml:2: extends above.yaml: it extends this"),
        ("name: a\nextends: 3\n", "above.yaml:2: extends is 3, not a suite's file"),
        ("extends: base.yaml\n", "above.yaml: no name; a suite that extends"),
        # A mistake is told with the file that it stands in.
        ("name: a\nextends: base.yaml\ntrain: {lrr: 1}\n", "above.yaml:3: unknown key 'train.lrr'"),
        (
            "name: a\nextends: base.yaml\nrules: [{methods: [smal], train: {lr: 1}}]\n",
            "above.yaml:3: rules.1.methods: 'smal' fits none of them",
        ),
        ("name: a\nextends: base.yaml\nassumed: {train.clop: x}\n", "above.yaml:3: assumed"),
        ("name: a\nextends: base.yaml\nassumed: {methods.smal.r: x}\n", "fits none of them"),
        ("name: a\nextends: base.yaml\nassumed: {methods.small.rr: x}\n", "no such option"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_suite(write(tmp_path, text))
    told = str(caught.value)
    assert said in told


def test_what_is_assumed_is_told_unless_it_is_overridden(tmp_path: Path) -> None:
    text = "name: above\nextends: base.yaml\nassumed: {methods.small.r: a guess}\n"
    file = write(tmp_path, text)
    assert sentences(load_suite(file).model_dump(mode="json")) == [
        "Assumed, as the suite says: train.clip = 0.5 (the paper does not say); seeds (so many); "
        "methods.small.r (a guess)."
    ]
    changed = load_suite(file, ["train.clip=1.0", "seeds=[3]", "methods=[small]"])
    assert sentences(changed.model_dump(mode="json")) == []


def test_assumptions_are_no_part_of_a_cell(tmp_path: Path) -> None:
    file = write(tmp_path, "name: base\nextends: base.yaml\nassumed: {protocol: x}\n")
    assert [c.key for c in load_suite(file).cells()] == [
        c.key for c in load_suite(tmp_path / "base.yaml").cells()
    ]
