"""A trainer's file while it is read: words, numbers, what its keys come to, and what is told."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.recipes import IMPORTERS, read
from harness.recipes.imported import Imported, suite_name
from harness.recipes.keys import Keys, sort_out
from harness.recipes.parts import everywhere, packed
from harness.recipes.recipe import Recipe, read_recipe

KEYS = Keys(
    acts="rank",
    inert="wandb_* seed",
    differs={"tiled": "less", "deep.*": "more"},
    refused={"compile": "it is compiled", "host_*": "it is elsewhere"},
)


def recipe(**data: object) -> Recipe:
    return Recipe("file.yml", data, {(key,): line for line, key in enumerate(data, start=1)})


def test_words_numbers_and_names_as_trainers_write_them() -> None:
    given = recipe(yes="on", no="No", rate="2e-5", steps=4.0, names="q_proj, v_proj", none=None)
    assert given.flag("yes")
    assert not given.flag("no")
    assert given.flag("absent", True)
    assert given.real("rate") == 2e-5
    assert given.whole("steps") == 4
    assert given.names("names") == ["q_proj", "v_proj"]
    assert not given.has("none")


@pytest.mark.parametrize(
    ("read_as", "value", "wanted"),
    [
        (Recipe.flag, "perhaps", "true or false is wanted"),
        (Recipe.whole, 1.5, "a whole number is wanted"),
        (Recipe.real, "fast", "a number is wanted"),
        (Recipe.word, ["a"], "one word is wanted"),
        (Recipe.names, {"a": 1}, "a list of names is wanted"),
    ],
)
def test_what_a_key_cannot_be_is_an_error_with_its_line(
    read_as: object, value: object, wanted: str
) -> None:
    with pytest.raises(UserError, match=rf"file\.yml:1: key: .*: {wanted}"):
        read_as(recipe(key=value), "key")  # type: ignore[operator]


def test_every_key_is_read_or_sorted_or_told() -> None:
    given = recipe(
        rank=8, seed=1, wandb_run="x", tiled=True, deep={"er": 1, "off": None}, compile=True,
        host_cache=False, wandbb="?", sed=2,
    )  # fmt: skip
    inert, unknown = sort_out(given, KEYS)
    assert inert == ["rank", "seed", "wandb_run", "deep.off", "host_cache"]
    assert given.differs == ["tiled: true: less", "deep.er: 1: more"]
    assert given.refused == ["file.yml:6: compile: true: it is compiled"]
    assert unknown == ["wandbb (line 8)", "sed (line 9; did you mean 'seed'?)"]


def test_a_whole_name_goes_before_a_pattern() -> None:
    keys = Keys(inert="deep.down", refused={"deep.*": "no"})
    given = recipe(deep={"down": 1, "up": 1})
    assert sort_out(given, keys) == (["deep.down"], [])
    assert given.refused == ["file.yml:1: deep.up: 1: no"]


def test_a_key_that_was_read_is_sorted_no_more() -> None:
    given = recipe(compile=True, nested={"a": 1, "b": 2})
    given.flag("compile")
    given.value("nested.a")
    assert sort_out(given, KEYS) == ([], ["nested.b (line 2; did you mean 'nested.a'?)"])
    assert not given.refused


def test_what_depends_on_the_card_is_refused_for_cards_of_two_kinds() -> None:
    assert Recipe("file.yml", {"bf16": "auto"}, has_bf16=True).bf16_by_card("bf16")
    assert not Recipe("file.yml", {"bf16": "auto"}, has_bf16=False).bf16_by_card("bf16")
    with pytest.raises(UserError, match="bf16: auto is bf16 on some of the cards"):
        Recipe("file.yml", {"bf16": "auto"}, has_bf16=None).bf16_by_card("bf16")


def test_an_unknown_trainer_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--from axolotle: no such trainer; did you mean 'axolotl'"):
        read("axolotle", tmp_path / "config.yml")
    assert "axolotl" in IMPORTERS


@pytest.mark.parametrize(
    ("trainer", "key"), [("axolotl", "base_model"), ("llamafactory", "model_name_or_path")]
)
def test_a_file_without_a_model_is_no_config(trainer: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "cloud.yml"
    file.write_text("do_train: true\n")
    with pytest.raises(UserError, match=f"{key}: null: it names no model"):
        read(trainer, file)


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "args.json"
    file.write_text('{"per_device_train_batch_size": 4,\n "bf16": true}')
    given = read_recipe(file)
    assert given.count("per_device_train_batch_size", 8) == 4
    assert given.where("bf16") == f"{file}:2"


def test_rows_of_a_model_that_carries_examples_on_are_one_example_each() -> None:
    apart, carried = recipe(), recipe()
    assert packed(apart, "llama", 2, 64, evaluation=True)["padding"] == "packed"
    task = packed(carried, "qwen3_5_moe", 2, 64, evaluation=True)
    assert (task["padding"], task["shape"]["mask"]) == ("max", False)
    assert not apart.differs
    assert "does not keep the examples of a row apart" in carried.differs[0]


def test_a_file_of_the_suite_says_what_it_is() -> None:
    imported = Imported(
        "axolotl", "a b.yml", {"name": "a-b"}, ["x is 1"], ["tiled: less"], unknown=["q (line 2)"]
    )
    head, body = imported.text().split("\nname: ")
    assert body.strip() == "a-b"
    for text in ("axolotl's a b.yml", "Assumed: x is 1.", "tiled: less.", "no key q (line 2)"):
        assert text in " ".join(head.replace("#", "").split())


@pytest.mark.parametrize(
    ("file", "name"),
    [("a/b c.yml", "b-c"), ("../.yml", "yml"), ("ä.yaml", "ä"), ("/x/a.b.yml", "a.b")],
)
def test_a_file_names_its_suite(file: str, name: str) -> None:
    assert suite_name(file) == name


@pytest.mark.parametrize(
    ("pattern", "text_model"),
    [
        (r"model.language_model.layers.[\d]+.(mlp|self_attn).(up|q)_proj", True),
        (r"model\.language_model\.layers\.\d+\.self_attn\.q_proj", True),
        (r"language_model.model.layers.[\d]+.self_attn.q_proj", True),
        (r"^model.language_model.*", True),
        (r"model.text_model.layers.[\d]+.(mlp|self_attn).q_proj", True),
        (r"model.layers.[\d]+.self_attn.q_proj", True),
        (r"model.vision_tower.layers.[\d]+.self_attn.q_proj", False),
    ],
)
def test_patterns_of_a_wrapped_text_model_fit_the_text_model_alone(
    pattern: str, text_model: bool
) -> None:
    import re

    fitted = re.fullmatch(everywhere(pattern), "model.layers.3.self_attn.q_proj")
    assert bool(fitted) is text_model


READ = re.compile(
    r"\brecipe\.(?:flag|word|whole|count|real|value|names|bf16_by_card)\(\s*\"([\w.]+)\""
)


@pytest.mark.parametrize("trainer", IMPORTERS)
def test_every_key_that_is_read_is_known_when_it_is_not(trainer: str) -> None:
    """Another key may make it mean nothing, so that nobody reads it: it is no slip then."""
    importer = import_module(IMPORTERS[trainer])
    place = Path(importer.__file__ or "")
    own = [path for path in place.parent.glob("*.py") if path.stem.startswith(place.stem)]
    keys = {key for path in own for key in READ.findall(path.read_text(encoding="utf-8"))}
    unknown = [key for key in sorted(keys) if importer.KEYS.kind(key, on=True)[0] == "unknown"]
    assert keys
    assert not unknown
