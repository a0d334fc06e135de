"""Whatever stands in a model's folder: an error in words, or the model that its weights are."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import WEIGHTS, load
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from harness.errors import UserError
from harness.models.check import check_model
from harness.models.files import weights_sha256
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer

INDEX = f"{WEIGHTS}.index.json"
NAMES = ("classifier.bias", "bert.pooler.dense.bias", "bert.encoder.layer.0.output.dense.weight")
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([[], {}, [1, 2], {"a": 1}, "relu", "../x.safetensors", 10**7])
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer in two shards, with a tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder, max_shard_size="3KB")
    words = load_tokenizer(ModelSpec(config="tiny-bert"), ["the cat sat on a mat", "a dog"])
    words.save_pretrained(folder)
    assert (folder / INDEX).is_file()
    return folder


@pytest.fixture(scope="module")
def original(whole: Path) -> Callable[[nn.Module], bool]:
    """Tell whether a model has the values of the folder as it was written, up to its head."""
    tensors = load(whole).state_dict()
    return lambda model: body_is(model, tensors) and len(model.state_dict()) == len(tensors)


def attempt(folder: Path, **options: Any) -> nn.Module | None:
    """Return the model as a run has it; None where it is refused in one line that names it."""
    spec = ModelSpec(path=str(folder), sha256=options.get("sha256"))
    try:
        check_model(spec, weights=True, tokenizer=True)
        return load(folder, **options)
    except UserError as error:
        said = str(error)
    assert "mine" in said
    assert "\n" not in said
    return None


def body_is(model: nn.Module, tensors: dict[str, Tensor]) -> bool:
    state = model.state_dict()
    names = [name for name in state if name.startswith("bert.")]
    return all(torch.equal(state[name], tensors[name]) for name in names)


@fuzzed(300)
@given(data=st.data())
def test_bytes_of_the_weights(whole: Path, data: st.DataObject) -> None:
    """Under a pin none is believed; without one the model is what the files say."""
    pin = weights_sha256(whole)
    file = data.draw(st.sampled_from(sorted(whole.glob("*.safetensors"))))
    kept = file.read_bytes()
    length = int.from_bytes(kept[:8], "little")
    part = data.draw(st.sampled_from(["length", "header", "all"]))
    if part == "length":
        content = data.draw(st.binary(min_size=8, max_size=8)) + kept[8:]
    elif part == "header":
        new = st.binary(max_size=4) | st.sampled_from(
            [b"F64", b"F16", b"I64", b"BOOL", b"0", b"-1", b"1e3", b"null", b'"', b"{}", b"[8,8]"]
        )
        content = kept[:8] + changed_bytes(data, kept[8 : 8 + length], new=new) + kept[8 + length :]
    else:
        content = changed_bytes(data, kept)
    try:
        file.write_bytes(content)
        assert attempt(whole, sha256=pin) is None or content == kept
        model = attempt(whole)
        if model is not None:
            there = {n: t for f in whole.glob("*.safetensors") for n, t in load_file(f).items()}
            assert body_is(model, there)
    finally:
        file.write_bytes(kept)


@fuzzed(300)
@given(data=st.data())
def test_tensors_of_other_names_shapes_and_types(
    whole: Path, original: Callable[[nn.Module], bool], data: st.DataObject
) -> None:
    """What is loaded has every value of the original, or another name of before 2020."""
    file = data.draw(st.sampled_from(sorted(whole.glob("*.safetensors"))))
    kept, index = file.read_bytes(), (whole / INDEX).read_text()
    there = load_file(file)
    name = data.draw(st.sampled_from(sorted(there)))
    tensor = there.pop(name)
    how = data.draw(st.sampled_from(["name", "new", "shape", "type", "lost", "layer", "head"]))
    other = data.draw(st.sampled_from(NAMES) | st.text(min_size=1, max_size=12))
    if how == "name":
        there[other] = tensor
    elif how == "new":
        there |= {name: tensor, name + data.draw(st.sampled_from(["_x", ".lora_A", "s"])): tensor}
    elif how == "shape":
        sizes = data.draw(st.lists(st.integers(0, 9), max_size=3))
        there[name] = torch.zeros(sizes) if data.draw(st.booleans()) else tensor[None]
    elif how == "type":
        kinds = [torch.bool, torch.int8, torch.int64, torch.float8_e5m2, torch.uint16]
        there[name] = tensor.to(data.draw(st.sampled_from(kinds)))
    elif how == "layer":
        layer = data.draw(st.integers(1, 9))
        there |= {name: tensor, f"bert.encoder.layer.{layer}.output.dense.bias": torch.ones(8)}
    elif how == "head":
        there |= {name: tensor, name.removeprefix("bert."): tensor + 1}
    try:
        save_file({n: t.clone() for n, t in there.items()}, file, metadata={"format": "pt"})
        places = {n: f.name for f in whole.glob("*.safetensors") for n in load_file(f)}
        (whole / INDEX).write_text(json.dumps({"weight_map": places}))
        model = attempt(whole)
        if model is not None:
            assert original(model)
    finally:
        file.write_bytes(kept)
        (whole / INDEX).write_text(index)


@fuzzed(200)
@given(data=st.data())
@pytest.mark.parametrize("name", ["config.json", INDEX])
def test_bytes_and_values_beside_pinned_weights(
    whole: Path, original: Callable[[nn.Module], bool], name: str, data: st.DataObject
) -> None:
    pin, file = weights_sha256(whole), whole / name
    kept = file.read_bytes()
    content = json.loads(kept)
    if data.draw(st.booleans()):
        new = changed_bytes(data, kept)
    else:
        place = content.get("weight_map", content) if data.draw(st.booleans()) else content
        key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=5))
        place[key] = data.draw(VALUES)
        new = json.dumps(content).encode()
    try:
        file.write_bytes(new)
        model = attempt(whole, sha256=pin)
        if model is not None:
            assert original(model)
    finally:
        file.write_bytes(kept)


@fuzzed(100)
@given(data=st.data())
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_bytes_of_the_tokenizer(whole: Path, name: str, data: st.DataObject) -> None:
    spec, file = ModelSpec(path=str(whole)), whole / name
    kept = file.read_bytes()
    try:
        file.write_bytes(changed_bytes(data, kept))
        with suppress(UserError):
            check_model(spec, weights=False, tokenizer=True)
            assert max(load_tokenizer(spec, []).get_vocab().values()) < 40
    finally:
        file.write_bytes(kept)
