"""Tiny language models with a tokenizer of their own, and cells of the tasks that they speak."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from harness.models.catalogue import CATALOGUE
from harness.suite.cell import Cell
from harness.suite.load import load_suite

NAMES = ("Alimentum", "Aromi", "Bibimbap House", "Blue Spice", "Clowns", "Cotto", "Giraffe",
         "The Mill", "The Phoenix", "Zizzi")  # fmt: skip
FOODS = ("Italian", "French", "Chinese", "English")


def meanings() -> list[tuple[str, list[str]]]:
    """Return meaning representations, each with two texts."""
    return [
        (
            f"name[{name}], food[{food}]",
            [f"{name} serves {food} food.", f"There is {food} food at {name}."],
        )
        for number, name in enumerate(NAMES)
        for food in FOODS[: 1 + number % 4]
    ]


def articles() -> list[dict[str, str]]:
    """Return texts of several lengths with short ones."""
    return [
        {
            "article": " ".join([f"{name} serves food. "] * (1 + i % 3)),
            "highlights": f"{name} opens.",
        }
        for i, name in enumerate(NAMES * 3)
    ]


def problems() -> list[dict[str, str]]:
    """Return sums with their solutions."""
    return [
        {"question": f"What is {a} and {b}?", "answer": f"{a}+{b} = <<{a}+{b}={a + b}>>{a + b}\n"
         f"#### {a + b}"}
        for a in range(1, 7) for b in range(1, 6)
    ]  # fmt: skip


def data(root: Path) -> Path:
    """Write small data sets in the layouts of the real ones, and return their root."""
    e2e = [(mr, text) for mr, texts in meanings() for text in texts]
    _csv(root / "e2e-nlg" / "trainset.csv", e2e[:30])
    _csv(root / "e2e-nlg" / "devset.csv", e2e[30:40])
    _csv(root / "e2e-nlg" / "testset_w_refs.csv", e2e[40:])
    for part, rows in (("train", articles()), ("test", articles()[:5])):
        _jsonl(root / "cnn_dailymail" / f"{part}.jsonl", rows)
    for part, sums in (("train", problems()), ("test", problems()[:5])):
        _jsonl(root / "gsm8k" / f"{part}.jsonl", sums)
    told = [{"instruction": row["article"], "response": row["highlights"]} for row in articles()]
    _jsonl(root / "lamini" / "train.jsonl", told)
    for part in ("train", "valid", "test"):
        _lines(root / "wikitext-2" / f"wiki.{part}.raw", part)
    return root


def model(folder: Path, kind: str) -> Path:
    """Write a tiny model of the catalogue with random weights and a byte-level tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    words = tokenizer()
    entry = CATALOGUE[kind]
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    if kind == "tiny-bart":
        special |= {"decoder_start_token_id": 2, "forced_eos_token_id": 2}
    config = AutoConfig.for_model(
        entry.model_type, **{**entry.config, **special, "vocab_size": len(words)}
    )
    kinds: Any = AutoModelForSeq2SeqLM if kind == "tiny-bart" else AutoModelForCausalLM
    torch.manual_seed(0)
    kinds.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """Return a byte-level tokenizer that begins with <s> and ends with </s>, where asked."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    texts = [text for mr, found in meanings() for text in [mr, *found]]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )  # fmt: skip
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", pad_token="<pad>", eos_token="</s>",
        unk_token="<unk>", model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def cell_of(root: Path, path: Path, task: str, method: str = "lora", *overrides: str) -> Cell:
    """Return the one cell of a task on that model."""
    file = root / "speaking.yaml"
    file.write_text(
        f"name: speaking\nmodel: {{path: {path}}}\ntasks: [{{name: {task}}}]\nmethods: [{method}]\n"
        f"data_root: {root}\ntrain: {{batch_size: 4, max_length: 48, epochs: 1, max_steps: 3}}\n"
    )
    (cell,) = load_suite(file, overrides).cells()
    return cell


def _csv(file: Path, rows: list[tuple[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("mr", "ref"), *rows])


def _jsonl(file: Path, rows: list[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _lines(file: Path, part: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {part} {text} \n \n" for _, found in meanings() for text in found]
    file.write_text("".join(lines))
