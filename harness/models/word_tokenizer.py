"""A tokenizer for models without one: the words of the data, up to the model's vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any


def word_tokenizer(config: Any, texts: Iterable[str]) -> Any:
    """Return a fast tokenizer of lower-cased words and punctuation marks.

    Deterministic: the most frequent words first, ties in alphabetical order; what does not fit the
    vocabulary becomes [UNK]. Special tokens take the ids that the config gives them.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    splitter = pre_tokenizers.BertPreTokenizer()
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    vocabulary = _special_ids(config)
    taken, words = set(vocabulary.values()), iter(sorted(counts, key=lambda w: (-counts[w], w)))
    for index in range(config.vocab_size):
        if index not in taken:
            word = next(words, None)
            if word is None:
                break
            vocabulary[word] = index
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    inputs = ["input_ids", "attention_mask"]
    if getattr(config, "type_vocab_size", 0) > 1:
        inputs.append("token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_input_names=inputs,
    )  # fmt: skip


def _special_ids(config: Any) -> dict[str, int]:
    """Give each special token the config's id, or the first one that is free."""
    config_ids = {
        "[PAD]": getattr(config, "pad_token_id", None),
        "[CLS]": getattr(config, "bos_token_id", None),
        "[SEP]": getattr(config, "eos_token_id", None),
        "[UNK]": None,
    }
    ids: dict[str, int] = {}
    for name, index in config_ids.items():
        free = isinstance(index, int) and index not in ids.values()
        ids[name] = index if free and index is not None else _first_free(ids)
    return ids


def _first_free(ids: dict[str, int]) -> int:
    return next(i for i in range(len(ids) + 1) if i not in ids.values())
