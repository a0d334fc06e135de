"""What is wrong with a model's folder is said before the first cell, by run and forecast alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, rows, silent, suite_file
from tiny import build
from typer.testing import CliRunner

from harness import main
from harness.cell import run_cell
from harness.errors import UserError
from harness.models import check
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.models.weights import shapes_of
from harness.reporting.caption import caption
from harness.reporting.comparison import compare_methods

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 438000000\n"
TEXTS = ["the cat sat on the mat", "a dog ran"]


def save(folder: Path, name: str = "tiny-bert", labels: int = 3, **options: Any) -> Path:
    """A model as a user might have it: a head for three classes, a tokenizer."""
    build(name, labels=labels).save_pretrained(folder, **options)
    load_tokenizer(ModelSpec(config=name), TEXTS).save_pretrained(folder)
    return folder


def set_config(folder: Path, **values: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def lengthen(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as stream:
        stream.write(b"\0" * 8)


def misstate(folder: Path) -> None:
    """Say of one tensor that it is larger than its bytes."""
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"shape":[3,32]', b'"shape":[9,32]'))


def add_tokens(folder: Path) -> None:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 2000, "content": "<new>"})
    file.write_text(json.dumps(content))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (cut, r"bytes of tensors where its header has \d+: it is cut off"),
    "too long": (lengthen, "it has bytes too many"),
    "misstated": (misstate, r"classifier.weight has 384 bytes for F32 \[9, 32\]"),
    "no header": (lambda f: (f / "model.safetensors").write_bytes(b"<html>"), "no safetensors"),
    "pointer": (lambda f: (f / "model.safetensors").write_text(POINTER), "a Git LFS pointer"),
    "tokenizer's pointer": (lambda f: (f / "tokenizer.json").write_text(POINTER), "git lfs pull"),
    "other name": (lambda f: (f / "model.safetensors").rename(f / "w.safetensors"), "no other"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), r"config.json: no readable JSON"),
    "pad below": (lambda f: set_config(f, pad_token_id=-1), "pad_token_id = -1 is no token"),
    "pad above": (lambda f: set_config(f, pad_token_id=2000), "of a vocabulary of 2000"),
    "tokens": (add_tokens, "ids up to 2000, its config a vocab_size of 2000"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_words_by_both_commands(tmp_path: Path, fault: str) -> None:
    spoil, message = FAULTS[fault]
    folder = save(tmp_path / "mine")
    check.check_model(ModelSpec(path=str(folder)), weights=True, tokenizer=True)
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        check.check_model(ModelSpec(path=str(folder)), weights=True)
    arguments = [str(suite_file(tmp_path)), f"model.path={folder}"]
    for command in (["run", *arguments, "--out", str(tmp_path / "out")], ["forecast", *arguments]):
        done = CliRunner().invoke(main.app, command)
        assert done.exit_code == 2
        assert str(caught.value) in done.stderr
    assert not (tmp_path / "out").exists()


def test_every_shard_must_be_there(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine", max_shard_size="100KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    assert shapes_of(folder)["classifier.weight"] == (3, 32)
    shards[0].unlink()
    with pytest.raises(
        UserError, match=rf"1 of \d+ shards are not there, such as {shards[0].name}"
    ):
        check.check_model(ModelSpec(path=str(folder)), weights=True)


def test_headers_give_the_shapes_that_the_library_reads(tmp_path: Path) -> None:
    model = build(dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert shapes_of(tmp_path) == {n: tuple(t.shape) for n, t in model.state_dict().items()}


def test_a_forecast_needs_no_weights_and_looks_at_those_there_are(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    (folder / "model.safetensors").unlink()
    spec = ModelSpec(path=str(folder))
    check.check_model(spec, weights=False)
    with pytest.raises(UserError, match=r"no .*\.safetensors in"):
        check.check_model(spec, weights=True)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="no tokenizer files in"):
        check.check_model(spec, weights=False, tokenizer=True)


def test_a_head_of_another_size_is_new_and_told(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    cell = cell_of(tmp_path, "full", f"model.path={folder}", rows(8, 8), "train.epochs=1")
    record = run_cell(cell, silent)
    assert record.outcome == "ok"
    assert record.provenance is not None
    assert record.provenance.redrawn == [
        "classifier.weight (3, 32) in the weights, (2, 32) here",
        "classifier.bias (3,) in the weights, (2,) here",
    ]
    notes = caption(compare_methods([record], None))
    assert any(note.startswith("New head: mine has one of another size") for note in notes)
    same = save(tmp_path / "two", labels=2)
    cell = cell_of(tmp_path, "full", f"model.path={same}", rows(8, 8), "train.epochs=1")
    fitting = run_cell(cell, silent)
    assert fitting.provenance is not None
    assert fitting.provenance.redrawn is None


def test_other_sizes_elsewhere_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    set_config(folder, max_position_embeddings=64)
    cell = cell_of(tmp_path, "full", f"model.path={folder}", rows(8, 8))
    with pytest.raises(UserError, match=r"position_embeddings.weight is \(130, 32\) in its"):
        run_cell(cell, silent)


@pytest.mark.parametrize("known", [True, False])
def test_padding_comes_from_the_tokenizer_where_the_config_has_none(
    tmp_path: Path, known: bool
) -> None:
    folder = save(tmp_path / "mine", "tiny-gpt2", labels=2)
    set_config(folder, pad_token_id=None, eos_token_id=None, bos_token_id=None)
    if not known:
        file = folder / "tokenizer_config.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps({k: v for k, v in content.items() if k != "pad_token"}))
    cell = cell_of(tmp_path, "full", f"model.path={folder}", rows(8, 8), "train.epochs=1")
    if known:
        assert run_cell(cell, silent).outcome == "ok"
        return
    with pytest.raises(UserError, match="neither its config nor its tokenizer names a padding"):
        run_cell(cell, silent)
