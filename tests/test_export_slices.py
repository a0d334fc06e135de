"""A LoRA on GPT-2's query and value is read by plain peft: as one of twice the rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import speaking
import torch
from cells import silent
from peft import PeftModel
from transformers import AutoModelForCausalLM

from harness.cell import run_cell
from harness.export import load
from harness.record import ExportKind
from harness.store import Store


@pytest.mark.parametrize("kind", ["adapter", "model"])
def test_what_is_written_is_what_was_trained(tmp_path: Path, kind: ExportKind) -> None:
    path = speaking.model(speaking.data(tmp_path) / "gpt2", "tiny-gpt2")
    method = "{lora: {r: 4, targets: qv}}"
    cell = speaking.cell_of(tmp_path, path, "wikitext", method, "train.lr=5e-2")
    record = run_cell(cell, silent, export=(kind, Store(tmp_path / "runs")))
    assert record.export is not None, record.message
    assert record.parameters is not None
    assert record.parameters.adapter_trainable == 4 * 4 * 4 * 32
    folder = tmp_path / "runs" / record.export.folder
    ours: Any = load(folder)
    base: Any = AutoModelForCausalLM.from_pretrained(path)
    ids = {"input_ids": torch.arange(5, 25).view(2, 10)}
    with torch.no_grad():
        plain = base.eval()(**ids).logits
        if kind == "adapter":
            assert record.export.reader == "peft"
            theirs: Any = PeftModel.from_pretrained(base, folder).eval()
            assert theirs.peft_config["default"].r == 8
        else:
            assert record.export.reader == "transformers"
            theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
        torch.testing.assert_close(theirs(**ids).logits, ours(**ids).logits, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(plain, ours(**ids).logits, atol=1e-3)
