"""A folder's model is the one of its pinned weights, whatever else lies there, or is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from folders import WEIGHTS, Tensors, edit, load, save_as, saved, set_json
from records import eight_cells, record
from safetensors.torch import save_file

from harness.errors import UserError
from harness.models.check import check_model
from harness.models.files import provenance, weights_sha256
from harness.models.spec import ModelSpec
from harness.reporting.caption import caption
from harness.reporting.comparison import compare_methods

# Class that saved the folder, and family that trains on it.
LAYOUTS = {
    "tiny-bert": [
        ("AutoModel", "classification"), ("AutoModelForPreTraining", "classification"),
        ("AutoModelForMaskedLM", "classification"), ("AutoModelForMaskedLM", "regression"),
        ("AutoModelForQuestionAnswering", "classification"),
        ("AutoModelForSequenceClassification", "question_answering"),
        ("AutoModelForTokenClassification", "regression"),
    ],
    "tiny-roberta": [
        ("AutoModel", "classification"), ("AutoModelForMaskedLM", "classification"),
        ("AutoModelForTokenClassification", "classification"),
        ("AutoModelForSequenceClassification", "question_answering"),
    ],
    "tiny-deberta-v2": [
        ("AutoModel", "classification"), ("AutoModelForMaskedLM", "classification"),
        ("AutoModelForSequenceClassification", "question_answering"),
    ],
    "tiny-gpt2": [
        ("AutoModel", "classification"), ("AutoModel", "causal_lm"),
        ("AutoModelForCausalLM", "classification"), ("AutoModelForCausalLM", "causal_lm"),
        ("GPT2DoubleHeadsModel", "causal_lm"),
    ],
    "tiny-llama": [
        ("AutoModel", "classification"), ("AutoModelForCausalLM", "classification"),
        ("AutoModelForCausalLM", "causal_lm"),
        ("AutoModelForSequenceClassification", "classification"),
    ],
    "tiny-bart": [
        ("AutoModel", "classification"), ("AutoModel", "seq2seq"),
        ("AutoModelForSeq2SeqLM", "classification"), ("AutoModelForSeq2SeqLM", "seq2seq"),
        ("AutoModelForSequenceClassification", "seq2seq"),
    ],
    "tiny-vit": [
        ("AutoModel", "image"), ("AutoModelForImageClassification", "image"),
        ("AutoModelForMaskedImageModeling", "image"),
    ],
    "tiny-swin": [
        ("AutoModel", "image"), ("AutoModelForImageClassification", "image"),
        ("AutoModelForMaskedImageModeling", "image"), ("AutoBackbone", "image"),
    ],
}  # fmt: skip
PAIRS = [(name, *pair) for name, pairs in LAYOUTS.items() for pair in pairs]


def holds(folder: Path, model: torch.nn.Module) -> None:
    """Hold all but a new head to what transformers makes of an innocent folder."""
    theirs, told = type(model).from_pretrained(
        folder, config=model.config, output_loading_info=True, ignore_mismatched_sizes=True,
        dtype=torch.float32,
    )  # fmt: skip
    new = set(told["missing_keys"]) | {name for name, *_ in told["mismatched_keys"]}
    state, other = model.state_dict(), theirs.state_dict()
    assert list(state) == list(other)
    assert len(new) < 8
    assert all(torch.equal(state[name], other[name]) for name in set(state) - new)


@pytest.mark.parametrize(("name", "saver", "family"), PAIRS)
def test_each_class_may_have_saved_it(tmp_path: Path, name: str, saver: str, family: str) -> None:
    folder = save_as(tmp_path / "mine", saver, name)
    holds(folder, load(folder, family))


LEGACY = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def legacy(tensors: Tensors) -> None:
    for name in list(tensors):
        for new, old in LEGACY.items():
            if name.endswith(new):
                tensors[name.replace(new, old)] = tensors.pop(name)


def positions(tensors: Tensors) -> None:
    tensors["bert.embeddings.position_ids"] = torch.arange(130)[None]


def masks(tensors: Tensors) -> None:
    for layer in range(4):
        mask = torch.ones(1, 1, 130, 130, dtype=torch.uint8)
        tensors[f"transformer.h.{layer}.attn.bias"] = mask
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)


def frequencies(tensors: Tensors) -> None:
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)


def deberta_v3(tensors: Tensors) -> None:
    """The heads of Microsoft's checkpoint."""
    for head in ("lm_predictions.lm_head", "mask_predictions"):
        tensors[f"{head}.dense.weight"] = torch.zeros(32, 32)


def both_tied(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()


def halved(tensors: Tensors) -> None:
    for name in tensors:
        tensors[name] = tensors[name].half()


KINDS: dict[str, tuple[str, str, Callable[[Tensors], object]]] = {
    "of 2019": ("tiny-bert", "AutoModelForPreTraining", legacy),
    "with positions": ("tiny-bert", "AutoModelForMaskedLM", positions),
    "with masks": ("tiny-gpt2", "AutoModelForCausalLM", masks),
    "with frequencies": ("tiny-llama", "AutoModelForCausalLM", frequencies),
    "DeBERTaV3's heads": ("tiny-deberta-v2", "AutoModel", deberta_v3),
    "both of two tied": ("tiny-gpt2", "AutoModelForCausalLM", both_tied),
    "in half precision": ("tiny-roberta", "AutoModelForMaskedLM", halved),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_have_in_their_weights(tmp_path: Path, kind: str) -> None:
    name, saver, change = KINDS[kind]
    folder = edit(save_as(tmp_path / "mine", saver, name), change)
    holds(folder, load(folder))
    if name == "tiny-gpt2":
        model = load(folder, "causal_lm")
        assert model.lm_head.weight is model.transformer.wte.weight


def test_links_lead_where_the_hubs_cache_has_its_files(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", max_shard_size="100KB")
    blobs, snapshot = tmp_path / "models--a/blobs", tmp_path / "models--a/snapshots/c0ffee"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(plain.iterdir()):
        shutil.copy(file, blobs / f"b{number}")
        (snapshot / file.name).symlink_to(f"../../blobs/b{number}")
    model = load(snapshot, sha256=weights_sha256(plain))
    holds(plain, model)


def test_other_files_are_no_part_of_the_model(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mine")
    save_file({"x": torch.zeros(3)}, folder / "consolidated.safetensors")
    (folder / "generation_config.json").write_text('{"num_beams": 9, "custom": "code"}')
    (folder / f"{WEIGHTS}.index.json").write_text("{}")  # the whole file comes before an index
    (folder / "modeling_mine.py").write_text("raise SystemExit")
    set_json(folder / "config.json", auto_map={
        "AutoModelForSequenceClassification": "modeling_mine.Mine"})  # fmt: skip
    model = load(folder)
    assert type(model).__module__.startswith("transformers.models.bert")
    (folder / "consolidated.safetensors").unlink()
    holds(folder, model)


def test_an_adapter_beside_the_weights_is_refused(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    folder = saved(tmp_path / "mine")
    base = load(folder)
    options = LoraConfig(r=2, target_modules=["query"], init_lora_weights=False)
    get_peft_model(load(folder), options).save_pretrained(tmp_path / "adapter")
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "adapter" / file, folder / file)
    spec = ModelSpec(path=str(folder))
    for call in (lambda: load(folder), lambda: check_model(spec, weights=False)):
        with pytest.raises(UserError, match=r"adapter_config.json: an adapter beside .*merge_and"):
            call()
    (folder / "adapter_config.json").unlink()  # the file of its weights is not looked at
    assert list(load(folder).state_dict()) == list(base.state_dict())


def test_a_record_tells_weights_config_and_tokenizer_apart(tmp_path: Path) -> None:
    """Rows of one table with different bases are named, whatever of them differs."""
    folder, cells = saved(tmp_path / "mine"), eight_cells(tmp_path)
    spec = ModelSpec(path=str(folder))
    first = provenance(spec)
    changes: dict[str, Callable[[], object]] = {
        "weights": lambda: edit(folder, lambda t: t["bert.pooler.dense.bias"].add_(1)),
        "config.json": lambda: set_json(folder / "config.json", hidden_act="relu"),
        "tokenizer": lambda: (folder / "tokenizer.json").write_text("{}"),
    }
    for changed, change in changes.items():
        before = provenance(spec)
        change()
        rows = [record(cells[n], 0.5, model=p) for n, p in enumerate((before, first, first))]
        rows[1].provenance = provenance(spec)
        (note,) = [n for n in caption(compare_methods(rows[:2], None)) if "Different bases" in n]
        assert f"was not the same in all cells, by its {changed}: " in note
        same = caption(compare_methods([rows[2], rows[2]], None))
        assert not any("Different bases" in note for note in same)
