"""Exports as others read them: plain transformers and peft in a process without this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, rows, silent
from tiny import batch, build

from harness.cell import run_cell
from harness.export import convert, load
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.record import Export, ExportKind, Record
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
    "boft": "{peft: {type: OFT, oft_block_size: 8, target_modules: qv}}",
    "p-tuning": "{peft: {type: P_TUNING, num_virtual_tokens: 3}}",
    "prompt": "{peft: {type: PROMPT_TUNING, num_virtual_tokens: 3}}",
}  # fmt: skip
OWN = {
    "pissa": "{peft: {type: LORA, r: 4, init_lora_weights: pissa_niter_4, target_modules: qv}}",
    "olora": "{peft: {type: LORA, r: 4, init_lora_weights: olora, target_modules: qv}}",
    "vera by shape": "{elora: {r: 8, share: by_shape}}",
    "adalora": "{adalora: {init_r: 4, target_r: 2, delta_t: 1}}",
    "houlsby": "houlsby",
}
MODELS = {
    "lora": PEFT["lora"], "full": "full", "bitfit": "bitfit", "pissa": OWN["pissa"],
    "adalora": OWN["adalora"], "sora": "{sora: {r: 4, xi: 0.001}}",
    "safe": "{safe: {over: {lora: {r: 4}}, tau: {quantile: 0.6}, max_warmup: 1, "
            "t_f: {epochs: 1}, probe: 8, merge: true}}",
}  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder that a user might have."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    build().bert.save_pretrained(folder)
    load_tokenizer(ModelSpec(config="tiny-bert"), TEXTS).save_pretrained(folder)
    return folder


def exported(folder: Path, base: Path, method: str, kind: ExportKind) -> tuple[Path, Export]:
    folder.mkdir()
    cell = cell_of(folder, method, *SHORT, f"model.path={base}")
    record: Record = run_cell(cell, silent, export=(kind, Store(folder)))
    assert record.outcome == "ok"
    assert record.export is not None, record.message
    return folder / record.export.folder, record.export


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = load(folder, merge=False)(**batch()).logits
    return found


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
    folders = []
    for name, method in PEFT.items():
        folder, export = exported(tmp_path / name, base, method, "adapter")
        assert export.reader == "peft", (name, export.reason)
        folders.append(("peft", folder))
    for (_, folder), found in zip(folders, elsewhere(base, folders), strict=True):
        there = torch.tensor(found["logits"])
        assert torch.allclose(there, logits(folder), atol=1e-6), folder.parts


def test_a_prefix_is_read_where_plain_peft_lags_behind_transformers(
    tmp_path: Path, base: Path
) -> None:
    """peft 0.21 refuses prefixes of any model of transformers 5.24, its own folders' included."""
    method = "{peft: {type: PREFIX_TUNING, num_virtual_tokens: 3}}"
    folder, export = exported(tmp_path / "run", base, method, "adapter")
    assert export.reader == "peft"
    assert logits(folder).isfinite().all()


@pytest.mark.parametrize("name", OWN)
def test_what_plain_peft_would_read_as_another_model_is_no_folder_of_its(
    tmp_path: Path, base: Path, name: str
) -> None:
    folder, export = exported(tmp_path / "run", base, OWN[name], "adapter")
    assert export.reader == "harness.export"
    assert (export.reason is None) == (name in {"adalora", "houlsby"})
    assert not (folder / "adapter_config.json").exists()
    torch.manual_seed(99)  # attaching draws other numbers than it did in training
    first = logits(folder)
    torch.manual_seed(7)
    assert torch.allclose(first, logits(folder), atol=1e-6)
    model = tmp_path / "model"
    convert(folder, model)
    assert torch.allclose(first, logits(model), atol=1e-5)


def test_plain_transformers_reads_models(tmp_path: Path, base: Path) -> None:
    folders = []
    for name, method in MODELS.items():
        folder, export = exported(tmp_path / name, base, method, "model")
        assert export.reader == "transformers", name
        folders.append(("model", folder))
    tokens = load_tokenizer(ModelSpec(path=str(base)), [])(TEXTS)["input_ids"]
    for (_, folder), found in zip(folders, elsewhere(base, folders), strict=True):
        assert torch.allclose(torch.tensor(found["logits"]), logits(folder), atol=1e-6), folder
        assert found["tokens"] == tokens
        assert found["labels"] == {"0": "unacceptable", "1": "acceptable"}


def test_a_model_with_more_than_its_config_says_is_not_loaded_in_part(
    tmp_path: Path, base: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    folder, export = exported(tmp_path / "run", base, "houlsby", "model")
    assert export.reader == "harness.export"
    assert logits(folder).isfinite().all()
    with pytest.raises((OSError, ValueError)):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_converted_adapter_is_the_model_and_stays(tmp_path: Path, base: Path) -> None:
    folder, _ = exported(tmp_path / "run", base, PEFT["lora"], "adapter")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert convert(folder, tmp_path / "model").reader == "transformers"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    [found] = elsewhere(base, [("model", tmp_path / "model")])
    assert torch.allclose(torch.tensor(found["logits"]), logits(folder), atol=1e-6)
    assert found["labels"] == {"0": "unacceptable", "1": "acceptable"}
