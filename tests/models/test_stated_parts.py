"""A suite says where a model keeps its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from harness.errors import UserError
from harness.models.load import build_model, load_model
from harness.models.spec import ModelParts, ModelSpec
from harness.suite.load import load_suite
from harness.tasks.families import get_family
from methods import Plan, get_method, surgery

PLAN = Plan(num_steps=2, steps_per_epoch=1, num_epochs=2)
SUITE = """\
name: parts
tasks:
  - shape: {family: classification, length: 8, batch_size: 2}
methods: [lora]
model:
  config: tiny-bert
  parts: PARTS
"""


def built(**parts: Any) -> torch.nn.Module:
    spec = ModelSpec(config="tiny-bert", parts=ModelParts(**parts))
    with torch.device("meta"):
        return build_model(
            spec, get_family("classification"), 2, "eager", torch.float32, use_cache=False
        )


def test_layers_are_what_the_pattern_matches() -> None:
    model = built(layers=r"bert\.encoder\.layer\.[23]")
    assert surgery.layer_names(model) == ["bert.encoder.layer.2", "bert.encoder.layer.3"]
    handle = get_method("lora")(r=2).attach(model, PLAN)
    assert {name.split(".layer.")[1][0] for name in handle.adapter} == {"2", "3"}
    assert [len(unit) > 0 for unit in handle.layers] == [True, True]


def test_sets_are_what_is_stated() -> None:
    model = built(qv=["query"], six=["intermediate.dense"], attention=["query", "key"])
    counts = {name: len(surgery.target_modules(model, name)) for name in
              ("qv", "six", "attention", "ffn", "all-linear")}  # fmt: skip
    assert counts == {"qv": 4, "six": 4, "attention": 8, "ffn": 16, "all-linear": 24}


def test_head_pooler_and_inputs_are_what_is_stated() -> None:
    model = built(head=["bert.pooler", "classifier"], pooler=["bert.encoder.layer.3"],
                  inputs=["bert.embeddings.word_embeddings"])  # fmt: skip
    assert {n.rpartition(".")[0] for n in surgery.head_parameters(model)} == {
        "bert.pooler.dense", "classifier"}  # fmt: skip
    assert all(".layer.3." in name for name in surgery.pooler_parameters(model))
    assert list(surgery.input_parameters(model)) == ["bert.embeddings.word_embeddings.weight"]


def test_a_loaded_model_has_them_too(tmp_path: Path) -> None:
    plain = ModelSpec(config="tiny-bert")
    options: dict[str, Any] = {
        "family": get_family("classification"), "num_labels": 2, "attention": "eager",
        "dtype": torch.float32, "seed": 0,
    }  # fmt: skip
    load_model(plain, **options).save_pretrained(tmp_path)  # type: ignore[operator]
    spec = ModelSpec(path=str(tmp_path), parts=ModelParts(layers=r"bert\.encoder\.layer\.0"))
    assert len(surgery.layers(load_model(spec, **options))) == 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"layers": r"encoder\.layer\.\d"}, r"parts.layers .* matches no module.*bert.encoder.lay"),
        (
            {"layers": ".*"},
            r"parts.layers '.\*' matches '', the whole model; its blocks are b",
        ),
        ({"layers": "bert"}, r".*matches 'bert', the whole model"),
        ({"layers": r"bert\.encoder\.layer"}, r".*matches 'bert.encoder.layer', a list of modules"),
        (
            {"layers": r"bert\.encoder(\.layer\.\d)?"},
            r".*which holds 'bert.encoder.layer.0'",
        ),
        ({"layers": r"bert\.embeddings\.LayerNorm", "six": ["query"]}, ".*; there is none to"),
        ({"head": ["classifier.weight"]}, r".*is a parameter; give its module 'classifier'$"),
        ({"inputs": ["zz"]}, r".*has no 'zz'; names begin with bert, dropout, classifier$"),
        ({"head": ["clasifier"]}, r"parts.head: .*did you mean 'classifier'"),
        ({"inputs": ["embeddings"]}, r"parts.inputs: .*'bert.embeddings'"),
        ({"attention": ["querry"]}, r"parts.attention: no linear layer.*did you mean 'query'"),
        ({"six": ["dens"]}, r"parts.six: .*'dense'"),
    ],
)
def test_what_the_model_has_not_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"(?s)model tiny-bert: {message}"):
        built(**parts)


def test_a_stated_set_is_told_wherever_it_is_asked_for() -> None:
    model = built(qv=["query", "key"])
    assert surgery.what_targets_mean(model, "qv") == [
        "targets qv is query and key here, as the suite's parts say"
    ]
    assert not surgery.what_targets_mean(built(qv=["query"]), "attention")


def test_a_model_without_the_head_names_the_families_that_have_one() -> None:
    said = "tiny-vit has no causal_lm head in transformers; it has one for image$"
    spec = ModelSpec(config="tiny-vit")
    with pytest.raises(UserError, match=said):
        build_model(spec, get_family("causal_lm"), 2, "auto", torch.float32, False)


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="no regular expression"):
        ModelParts(layers="(")
    with pytest.raises(ValidationError, match="states none of layers, head"):
        ModelParts()


def cell_of(tmp_path: Path, parts: str) -> Any:
    file = tmp_path / "suite.yaml"
    file.write_text(
        SUITE.replace("PARTS", parts) if parts else SUITE.replace("  parts: PARTS\n", "")
    )
    [cell] = load_suite(file).cells()
    return cell


def test_a_cell_is_another_one_with_them_and_the_same_without(tmp_path: Path) -> None:
    plain = cell_of(tmp_path, "")
    stated = cell_of(tmp_path, "{qv: [query]}")
    assert stated.key != plain.key
    assert "parts" not in plain.model_dump(mode="json")["model"]
    assert stated.model_dump(mode="json")["model"]["parts"] == {"qv": ["query"]}


def test_an_unknown_part_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"suite.yaml:7: .*unknown key.*laiers.*'layers'"):
        cell_of(tmp_path, "{laiers: x}")
