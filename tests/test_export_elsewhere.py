"""Exports as others read them: plain transformers and peft in a process without this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from cells import cell_of, rows, silent
from cells import run as train
from tiny import batch, build
from torch import nn

from harness.cell import run_cell
from harness.export import Extras, convert, load, recipe_of, write
from harness.export.writing import Written
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.record import ExportKind
from harness.store import Store

SHORT = (rows(32, 8), "train.epochs=3", "train.lr=1.0e-2")
TEXTS = ["The cat sat on the mat.", "A dog that runs is happy."]
SCRIPT = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging
logging.set_verbosity_error()
given, found = json.load(sys.stdin), []
for kind, base, folder in given["folders"]:
    if kind == "peft":
        from peft import PeftModel
        model = AutoModelForSequenceClassification.from_pretrained(base)
        model = PeftModel.from_pretrained(model, folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    ids = torch.tensor(given["ids"])
    with torch.no_grad():
        logits = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found.append({"logits": logits.tolist(), "tokens": tokenizer(given["texts"])["input_ids"],
                  "labels": model.config.id2label})
assert not {"harness", "methods"} & set(sys.modules)
print(json.dumps(found))
"""
PEFT = {
    "lora": "{lora: {r: 4, dropout: 0.1}}",
    "lora on some": "{lora: {r: 4, targets: qv, layers: upper-half}}",
    "vera": "{elora: {r: 8}}",
    "dora, rslora": "{peft: {type: LORA, r: 4, use_dora: true, use_rslora: true, "
                    "target_modules: six}}",
    "biases": "{peft: {type: LORA, r: 4, bias: lora_only, target_modules: qv}}",
    "lora_bias": "{peft: {type: LORA, r: 4, lora_bias: true, target_modules: qv}}",
    "ia3": "{peft: {type: IA3}}",
    "oft": "{peft: {type: OFT, oft_block_size: 8, target_modules: qv}}",
    "p-tuning": "{peft: {type: P_TUNING, num_virtual_tokens: 3}}",
    "prompt": "{peft: {type: PROMPT_TUNING, num_virtual_tokens: 3}}",
}  # fmt: skip
SAFE = (
    "{safe: {over: {lora: {r: 4}}, tau: {quantile: 0.6}, max_warmup: 1, t_f: {epochs: 1}, "
    "probe: 8, merge: true}}"
)
# What plain peft would read as another model is written as a LoRA that it reads right.
AS_LORA = {
    "pissa": "{peft: {type: LORA, r: 4, init_lora_weights: pissa_niter_4, target_modules: qv}}",
    "olora": "{peft: {type: LORA, r: 4, init_lora_weights: olora, target_modules: six}}",
    "adalora": "{adalora: {init_r: 4, target_r: 2, delta_t: 1}}",
}
OWN = {
    "pissa, dora": "{peft: {type: LORA, r: 4, init_lora_weights: pissa_niter_4, use_dora: true, "
                   "target_modules: qv}}",
    "vera by shape": "{elora: {r: 8, share: by_shape}}",
    "houlsby": "houlsby",
    "safe": SAFE,  # what it merged on the way is in the base weights
}  # fmt: skip
MODELS = {
    "lora": PEFT["lora"], "full": "full", "bitfit": "bitfit", "pissa": AS_LORA["pissa"],
    "adalora": AS_LORA["adalora"], "sora": "{sora: {r: 4, xi: 0.001}}",
    "safe": SAFE,
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder that a user might have."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    build().bert.save_pretrained(folder)
    load_tokenizer(ModelSpec(config="tiny-bert"), TEXTS).save_pretrained(folder)
    return folder


class Trained(NamedTuple):
    """An export, and what the trained model said before it was written."""

    folder: Path
    written: Written
    logits: torch.Tensor


def trained(folder: Path, base: Path, method: str, kind: ExportKind, *settings: str) -> Trained:
    """Train on the folder's model and export, as a cell does."""
    folder.mkdir()
    cell = cell_of(folder, method, *SHORT, f"model.path={base}", *settings)
    setup = train(cell)
    setup.handle.evaluating(on=True)
    said = logits(setup.model.eval())
    extras = Extras(setup.preparer, setup.task.label_names)
    recipe = recipe_of(cell, setup.plan)
    written = write(folder / kind, kind, recipe, setup.handle, setup.state.names, extras=extras)
    return Trained(folder / kind, written, said)


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**batch()).logits
    return found


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def elsewhere(base: Path, folders: list[tuple[str, Path]]) -> list[dict[str, Any]]:
    """Return what plain libraries make of the folders."""
    given = {"ids": batch()["input_ids"].tolist(), "texts": TEXTS,
             "folders": [(kind, str(base), str(folder)) for kind, folder in folders]}  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], input=json.dumps(given), text=True,
        capture_output=True, env=environment, cwd=base, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_plain_peft_reads_adapters(tmp_path: Path, base: Path) -> None:
    runs = {}
    for name, method in (PEFT | AS_LORA).items():
        runs[name] = trained(tmp_path / name, base, method, "adapter")
        reason = runs[name].written.reason
        assert runs[name].written.reader == "peft", (name, reason)
        assert (reason is None) == (name in PEFT), (name, reason)
    found = elsewhere(base, [("peft", run.folder) for run in runs.values()])
    for (name, run), there in zip(runs.items(), found, strict=True):
        assert apart(torch.tensor(there["logits"]), run.logits) <= (
            1e-6 if name in PEFT else 1e-5
        ), name
        assert apart(logits(load(run.folder)), run.logits) <= 1e-5, name


def test_a_prefix_is_read_where_plain_peft_lags_behind_transformers(
    tmp_path: Path, base: Path
) -> None:
    """peft 0.21 refuses prefixes of any model of transformers 5.24, its own folders' included."""
    method = "{peft: {type: PREFIX_TUNING, num_virtual_tokens: 3}}"
    run = trained(tmp_path / "run", base, method, "adapter")
    assert run.written.reader == "peft"
    assert apart(logits(load(run.folder)), run.logits) <= 1e-6


@pytest.mark.parametrize("name", OWN)
def test_what_plain_peft_would_read_as_another_model_is_no_folder_of_its(
    tmp_path: Path, base: Path, name: str
) -> None:
    run = trained(tmp_path / "run", base, OWN[name], "adapter")
    assert run.written.reader == "harness.export"
    assert (run.written.reason is None) == (name in {"houlsby", "safe"})
    assert not list(run.folder.glob("adapter_*"))
    torch.manual_seed(99)  # attaching draws other numbers than it did in training
    assert apart(logits(load(run.folder)), run.logits) <= 1e-5
    convert(run.folder, tmp_path / "model")
    assert apart(logits(load(tmp_path / "model")), run.logits) <= 1e-5


def test_a_bf16_base_keeps_its_head_in_fp32_where_nothing_is_merged(
    tmp_path: Path, base: Path
) -> None:
    half = "train.precision=bf16-weights"
    run = trained(tmp_path / "run", base, PEFT["lora"], "adapter", half)
    assert run.written.reader == "peft"
    assert apart(logits(load(run.folder, merge=False)), run.logits) == 0
    assert apart(logits(load(run.folder)), run.logits) <= 2**-8, "merged weights are bf16"


def test_plain_transformers_reads_models(tmp_path: Path, base: Path) -> None:
    runs = {}
    for name, method in MODELS.items():
        runs[name] = trained(tmp_path / name, base, method, "model")
        assert runs[name].written.reader == "transformers", name
    tokens = load_tokenizer(ModelSpec(path=str(base)), [])(TEXTS)["input_ids"]
    found = elsewhere(base, [("model", run.folder) for run in runs.values()])
    for (name, run), there in zip(runs.items(), found, strict=True):
        assert apart(torch.tensor(there["logits"]), run.logits) <= 1e-5, name
        assert there["tokens"] == tokens
        assert there["labels"] == {"0": "unacceptable", "1": "acceptable"}


def test_a_model_with_more_than_its_config_says_is_not_loaded_in_part(
    tmp_path: Path, base: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    run = trained(tmp_path / "run", base, "houlsby", "model")
    assert run.written.reader == "harness.export"
    assert apart(logits(load(run.folder)), run.logits) <= 1e-5
    with pytest.raises((OSError, ValueError)):
        AutoModelForSequenceClassification.from_pretrained(run.folder)


def test_a_cells_adapter_becomes_a_model_and_stays(tmp_path: Path, base: Path) -> None:
    cell = cell_of(tmp_path, PEFT["lora"], *SHORT, f"model.path={base}")
    record = run_cell(cell, silent, export=("adapter", Store(tmp_path)))
    assert record.export is not None
    assert record.export.reader == "peft"
    folder = tmp_path / record.export.folder
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert convert(folder, tmp_path / "model").reader == "transformers"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    kinds = [("peft", folder), ("model", tmp_path / "model")]
    adapter, model = elsewhere(base, kinds)
    assert apart(torch.tensor(model["logits"]), torch.tensor(adapter["logits"])) <= 1e-6
    assert model["tokens"] == adapter["tokens"]
    assert model["labels"] == {"0": "unacceptable", "1": "acceptable"}
