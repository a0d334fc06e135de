"""Weights of which another model would silently be made are refused, with the place."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, suite_file
from folders import WEIGHTS, Tensors, edit, load, save_as, saved, set_json
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from harness import main
from harness.errors import UserError
from harness.forecasting.attachable import check_attach
from harness.models.check import check_model
from harness.models.files import weights_sha256
from harness.models.load import redrawn
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer

QUERY = "bert.encoder.layer.0.attention.self.query.weight"


def put(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], object]:
    """Change one tensor's values or kind."""
    return lambda tensors: tensors.update({name: change(tensors[name])})


def add(name: str, like: str = QUERY) -> Callable[[Tensors], object]:
    """Put a tensor beside the others, with other values."""
    return lambda tensors: tensors.update({name: tensors[like] + 1})


def move(name: str, to: str) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({to: tensors.pop(name)})


def inside(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        tensor[3, 5] = value
        return tensor

    return spoil


TENSORS: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "bool": (put(QUERY, lambda t: t > 0), rf"{QUERY} is BOOL in its weights"),
    "int64": (put(QUERY, lambda t: t.long()), r"is I64 in its weights, where floating-point"),
    "int8": (put(QUERY, lambda t: t.to(torch.int8)), r"is I8 .* they are quantised"),
    "float8": (put(QUERY, lambda t: t.to(torch.float8_e4m3fn)), "is F8_E4M3"),
    "complex": (put(QUERY, lambda t: t.to(torch.complex64)), "is C64"),
    "head of int": (put("classifier.weight", lambda t: t.long()), "classifier.weight is I64"),
    "not a number": (put(QUERY, inside(float("nan"))), rf"{QUERY} has values that are not finite"),
    "infinite": (put(QUERY, inside(float("-inf"))), "not finite"),
    "other shape": (put(QUERY, lambda t: t[:16]), r"query.weight is \(16, 32\) in its weights"),
    "transposed": (put("bert.encoder.layer.1.output.dense.weight", lambda t: t.T),
                   r"is \(64, 32\) in its weights and \(32, 64\) by"),
    "one is lost": (lambda t: t.pop(QUERY), f"lack 1 tensors .* such as {QUERY}"),
    "half a pooler": (lambda t: t.pop("bert.pooler.dense.bias"), "lack 1 tensors .*pooler"),
    "one more layer": (add(QUERY.replace("layer.0", "layer.4")), "1 tensors .*such as .*layer.4"),
    "an adapter's": (add(f"{QUERY[:-7]}.lora_A.default.weight"), r"such as .*lora_A"),
    "unknown": (add("linear.weight"), r"no place for, such as linear.weight"),
    "another tower": (add("vit.encoder.weight"), r"no place for, such as vit.encoder"),
    "other name": (move(QUERY, QUERY.replace("query", "q")), "lack 1 tensors"),
    "two prefixes": (add(QUERY.removeprefix("bert.")), "are one tensor under two names"),
    "two ages": (lambda t: t.update({
        "bert.embeddings.LayerNorm.gamma": t["bert.embeddings.LayerNorm.weight"] + 1}),
        r"LayerNorm.gamma and .*LayerNorm.weight|LayerNorm.weight and .*LayerNorm.gamma"),
}  # fmt: skip


@pytest.mark.parametrize("fault", TENSORS)
def test_tensors_of_another_model(tmp_path: Path, fault: str) -> None:
    change, message = TENSORS[fault]
    folder = saved(tmp_path / "mine")
    load(folder)
    edit(folder, change)
    with pytest.raises(UserError, match=message) as caught:
        load(folder)
    assert str(caught.value).startswith("model mine: ")
    if "finite" not in message:  # which is read only as they are loaded
        with pytest.raises(UserError, match=re.escape(str(caught.value))):
            check_attach([cell_of(tmp_path, "lora", f"model.path={folder}")])


def test_a_run_says_it_before_its_first_cell(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mine")
    load_tokenizer(ModelSpec(config="tiny-bert"), ["a cat sat"]).save_pretrained(folder)
    set_json(folder / "config.json", num_hidden_layers=3)
    command = [str(suite_file(tmp_path)), f"model.path={folder}", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main.app, ["run", *command])
    assert done.exit_code == 2
    assert "mine: its weights have 16 tensors that a BertForSequenceClassification" in done.stderr
    assert not list((tmp_path / "out").glob("records/**/*.json"))


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "fewer layers": ({"num_hidden_layers": 3}, r"tensors that .* of its config has no place for"),
    "more layers": ({"num_hidden_layers": 5}, r"lack 16 tensors .*layer.4"),
    "layers without end": ({"num_hidden_layers": 10**9}, r"num_hidden_layers = 1000000000, and"),
    "another width": ({"intermediate_size": 65}, r"intermediate.dense.bias is \(64,\)"),
    "another type": ({"model_type": "roberta"}, r"lack \d+ tensors of a Roberta"),
    "unknown type": ({"model_type": "none"}, "none"),
    "no type": ({"model_type": None}, "mine"),
    "quantised": ({"quantization_config": {"quant_method": "fp8"}}, "has quantization_config, but"),
    "of bitsandbytes": (
        {
            "quantization_config": {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
            }
        },
        r"train: {weights: nf4, double_quant: true}, which quantises it the same way",
    ),
    "a quantised part": ({"text_config": {"quantization_config": {"bits": 4}}}, "has quantization"),
    "compressed": ({"compression_config": {"format": "int"}}, "has compression_config, but"),
    "other file": ({"transformers_weights": "a.safetensors"}, "only model.safetensors and"),
    "fused": ({"fusion_config": {"patch_embeddings": True}}, "fused modules"),
    "text": ({"hidden_size": "32"}, "mine"),
    "nothing": ({"num_attention_heads": 0}, "mine"),
    "list": ({"vocab_size": [2000]}, "mine"),
    "code": ({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}, "mine"),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_a_config_of_another_model(tmp_path: Path, fault: str) -> None:
    values, message = CONFIGS[fault]
    folder = saved(tmp_path / "mine")
    (folder / "mine.py").write_text("raise SystemExit")
    set_json(folder / "config.json", **values)
    with pytest.raises(UserError, match=message):
        load(folder)


def outside(folder: Path, places: dict[str, str]) -> None:
    """Other values where the pin does not look."""
    other = {n: t + 1 for n, t in load_file(folder / places[QUERY]).items()}
    save_file(other, folder.parent / "outside.safetensors", metadata={"format": "pt"})


def point(to: str) -> Callable[[Path, dict[str, str]], object]:
    def change(folder: Path, places: dict[str, str]) -> None:
        outside(folder, places)
        shard = places[QUERY]
        target = to.replace("FOLDER", str(folder.parent))
        places.update({name: target for name, file in places.items() if file == shard})

    return change


def inner(folder: Path, places: dict[str, str]) -> None:
    (folder / "sub").mkdir()
    point("sub/a.safetensors")(folder, places)
    shutil.move(folder.parent / "outside.safetensors", folder / "sub/a.safetensors")


def again(folder: Path, places: dict[str, str]) -> None:
    """The same tensor in a second shard, with other values."""
    other = next(file for file in places.values() if file != places[QUERY])
    tensors = load_file(folder / other)
    tensors[QUERY] = torch.ones(32, 32)
    save_file(tensors, folder / other, metadata={"format": "pt"})


INDEXES: dict[str, tuple[Callable[[Path, dict[str, str]], object], str]] = {
    "outside": (point("../outside.safetensors"), r"'../outside.safetensors', which is no file of"),
    "absolute": (point("FOLDER/outside.safetensors"), "which is no file of its folder"),
    "in a folder": (inner, "'sub/a.safetensors', which is no file of its folder"),
    "pickled": (point("pytorch_model.bin"), "no .safetensors file"),
    "not there": (point("a.safetensors"), r"1 of \d+ shards are not there, such as a.safet"),
    "no text": (lambda _, places: places.update({QUERY: 5}), "is in 5, which is no file"),
    "of another shard": (lambda _, places: places.update({
        QUERY: next(f for f in places.values() if f != places[QUERY])}), "lacks 1 tensors"),
    "lost": (lambda _, places: places.pop(QUERY), "has, unlisted there, 1 tensors"),
    "invented": (lambda _, places: places.update(new=places[QUERY]), "lacks 1 tensors, such as n"),
    "empty": (lambda _, places: places.clear(), "weight_map names no tensors"),
    "in two": (again, rf"has, unlisted there, 1 tensors, such as {QUERY}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", INDEXES)
def test_an_index_of_other_files(tmp_path: Path, fault: str) -> None:
    change, message = INDEXES[fault]
    folder = saved(tmp_path / "mine", max_shard_size="100KB")
    pin = weights_sha256(folder)
    load(folder, sha256=pin)
    file = folder / f"{WEIGHTS}.index.json"
    places = json.loads(file.read_text())["weight_map"]
    change(folder, places)
    set_json(file, weight_map=places)
    pin = weights_sha256(folder)
    with pytest.raises(UserError, match=message) as caught:
        load(folder, sha256=pin)
    assert str(file) in str(caught.value)
    with pytest.raises(UserError, match=message):
        check_model(ModelSpec(path=str(folder)), weights=False)


def test_a_key_that_stands_twice_is_not_believed(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mine", max_shard_size="100KB")
    file = folder / f"{WEIGHTS}.index.json"
    text = file.read_text()
    file.write_text(
        text.replace('"weight_map": {', '"weight_map": {"bert.pooler.dense.bias": "x",')
    )
    with pytest.raises(UserError, match=r"'bert.pooler.dense.bias' stands there twice"):
        load(folder)


def test_two_values_of_what_the_config_ties_are_refused(tmp_path: Path) -> None:
    folder = save_as(tmp_path / "mine", "AutoModelForCausalLM", "tiny-gpt2")
    edit(folder, add("lm_head.weight", "transformer.wte.weight"))
    with pytest.raises(UserError, match=r"its config ties lm_head.weight to another tensor"):
        load(folder, "causal_lm")
    set_json(folder / "config.json", tie_word_embeddings=False)
    model = load(folder, "causal_lm")
    assert torch.equal(model.lm_head.weight, model.transformer.wte.weight + 1)


def test_a_language_model_has_no_new_head(tmp_path: Path) -> None:
    folder = save_as(tmp_path / "mine", "AutoModel", "tiny-llama")
    with pytest.raises(UserError, match=r"lack 1 tensors .* such as lm_head.weight"):
        load(folder, "causal_lm")


def test_half_a_head_is_told(tmp_path: Path) -> None:
    folder = edit(saved(tmp_path / "mine"), lambda tensors: tensors.pop("classifier.bias"))
    spec = ModelSpec(path=str(folder))
    assert redrawn(spec, load(folder)) == ["classifier.bias not in the weights, (2,) here"]
    edit(folder, lambda tensors: tensors.pop("classifier.weight"))
    assert redrawn(spec, load(folder)) == []
