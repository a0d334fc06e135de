"""The catalogue against what others publish: the exact number of parameters of every entry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save_file
from transformers.initialization import no_init_weights

from harness.models.attention import AUTO
from harness.models.catalogue import CATALOGUE, SAME, find, quantized
from harness.models.catalogue.same import QUANTIZED
from harness.models.config import build_config
from harness.models.load import build_model, load_model
from harness.models.spec import ModelSpec
from harness.models.tying import untie_head
from harness.tasks.families import get_family

PUBLISHED = sorted(name for name, entry in CATALOGUE.items() if entry.published)
MADE_UP = sorted(name for name, entry in CATALOGUE.items() if not entry.source)


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_entry_builds_as_many_parameters_as_are_published(name: str) -> None:
    published = CATALOGUE[name].published
    assert published is not None
    spec = ModelSpec(config=name)
    with torch.device("meta"), no_init_weights():
        kind: Any = getattr(transformers, published.of)
        model = kind.from_config(build_config(spec))
        untie_head(spec, model)
    model.tie_weights()
    built = sum(p.numel() for p in model.parameters())
    assert built + published.beyond == published.parameters


def test_every_entry_of_the_hub_is_held_to_a_published_number() -> None:
    assert {name for name, entry in CATALOGUE.items() if entry.source} == set(PUBLISHED)
    assert all(name.startswith(("tiny-", "small-")) for name in MADE_UP)
    assert len(PUBLISHED) >= 50


def test_ids_of_the_hub_lead_to_entries() -> None:
    for name in PUBLISHED:
        spec = ModelSpec(hub=CATALOGUE[name].source).catalogued()
        assert (spec.config, spec.name) == (name, CATALOGUE[name].source.rpartition("/")[2])
    for hub, name in SAME.items():
        assert ModelSpec(hub=hub).catalogued().config == name
        assert CATALOGUE[name].source != hub
    sources = [entry.source for entry in CATALOGUE.values() if entry.source]
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize(("hub", "name"), [
    ("NousResearch/Llama-2-7b-hf", "llama-2-7b"),  # a copy of what an entry is named after
    ("NousResearch/Meta-Llama-3-8B-Instruct", "llama-3-8b"),  # a copy of what is the same
    ("unsloth/Qwen3-4B", "qwen3-4b"),
    ("someone/Llama-2-7b-hf", None),  # whose copies nobody knows
    ("unsloth/Qwen3-4B-bnb-4bit", None),  # quantised
    ("NousResearch/Hermes-3-Llama-3.1-8B", None),  # its own
])  # fmt: skip
def test_mirrors_lead_to_what_they_copy(hub: str, name: str | None) -> None:
    assert find(hub) == name
    assert ModelSpec(hub=hub).catalogued().config == name


def test_quantised_repositories_say_what_they_were_made_of() -> None:
    assert quantized("unsloth/Qwen3-4B-unsloth-bnb-4bit") == ("unsloth/Qwen3-4B", "nf4")
    assert quantized("someone/Qwen3-4B-bnb-4bit") is None
    for hub, (original, _) in QUANTIZED.items():
        assert find(hub) is None, hub
        assert find(original), hub
        assert quantized(hub) == QUANTIZED[hub]


def test_a_head_that_its_config_unties_has_a_table_of_its_own() -> None:
    """transformers' T5 forgets it: FLAN-T5 would come out 24.7 million parameters too small."""
    with torch.device("meta"), no_init_weights():
        flan, plain = (
            build_model(ModelSpec(config=name), get_family("seq2seq"), 1, AUTO, torch.float32,
                        use_cache=False)
            for name in ("flan-t5-base", "t5-base")
        )  # fmt: skip
    for model, own in ((flan, True), (plain, False)):
        again: Any = model
        again.tie_weights()  # as a forecast does
        head = again.get_output_embeddings().weight
        assert (head is not again.get_input_embeddings().weight) == own


def test_weights_with_a_head_of_their_own_load_where_config_json_says_so(tmp_path: Path) -> None:
    """As FLAN-T5's are: its config class would tie them, and they were refused."""
    config = transformers.T5Config(
        vocab_size=100, d_model=16, d_ff=32, d_kv=8, num_layers=2, num_heads=2,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0,
    )  # fmt: skip
    made = transformers.T5ForConditionalGeneration(config)
    made.lm_head.weight = torch.nn.Parameter(torch.randn(100, 16))
    save_file({n: p.detach().contiguous() for n, p in made.named_parameters()},
              tmp_path / "model.safetensors", metadata={"format": "pt"})  # fmt: skip
    written = config.to_dict() | {"tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(written))
    loaded: Any = load_model(
        ModelSpec(path=str(tmp_path)), family=get_family("seq2seq"), num_labels=1, attention=AUTO,
        dtype=torch.float32, seed=0,
    )  # fmt: skip
    assert torch.equal(loaded.lm_head.weight, made.lm_head.weight)
    assert not torch.equal(loaded.lm_head.weight, loaded.shared.weight)


def test_the_catalogue_loads_no_torch() -> None:
    code = "import sys, harness.models.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
