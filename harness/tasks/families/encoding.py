"""Texts and prompts with responses to token ids of language models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import UserError
from harness.tasks.families.sequences import IGNORED, Pairs, Prompts, Sequences
from harness.tasks.texts import Prompted, Text

BETWEEN_TEXTS = "\n\n"  # as the usual evaluations of perplexity join the lines of WikiText


def blocks(tokenizer: Any, rows: Sequence[Text], length: int) -> Sequences:
    """Join the texts, tokenise them once and cut them into blocks; the tail is dropped.

    Perplexity over such blocks predicts every token but each block's first (LoRAPrune's
    inference.py, with the length that it was trained on).

    Raises:
        UserError: the text is shorter than one block.
    """
    ids = _ids(tokenizer, BETWEEN_TEXTS.join(row.text for row in rows))
    cut = [ids[i : i + length] for i in range(0, len(ids) - length + 1, length)]
    if not cut:
        raise UserError(
            f"{len(rows)} texts of {len(ids)} tokens in all are less than one block of {length}: "
            "give more rows, or a smaller train.max_length"
        )
    tail = len(ids) - length * len(cut)
    note = f"{len(cut):,} blocks of {length} tokens from {len(rows):,} texts, {tail} tokens dropped"
    return Sequences(cut, _pad(tokenizer), labels=cut, notes=(note,))


def sequences(
    tokenizer: Any, rows: Sequence[Prompted], length: int, learn_prompt: bool | None
) -> Sequences:
    """Put each prompt, its response and the end-of-text token behind one another.

    Both are tokenised apart, so that a prompt has the tokens that generation starts from. What is
    too long is cut at its end, and then has no end-of-text token: a text that was cut does not end
    there. A row that nothing is left of to learn is left out.

    Args:
        tokenizer: of the model.
        rows: at least one.
        length: at most so many tokens.
        learn_prompt: whether the loss is taken of prompts, too; None: as the rows say.

    Raises:
        UserError: the tokenizer has no end-of-text token, or no row is left.
    """
    end = end_of_text(tokenizer)
    ids: list[list[int]] = []
    labels: list[list[int]] = []
    num_cut = 0
    for row in rows:
        prompt = prompt_ids(tokenizer, row.prompt)
        whole = [*prompt, *_ids(tokenizer, row.response, special=False), end]
        learns = row.learn_prompt if learn_prompt is None else learn_prompt
        masked = 0 if learns else len(prompt)
        kept = whole[:length]
        num_cut += len(kept) < len(whole)
        if len(kept) > max(1, masked):
            ids.append(kept)
            labels.append([IGNORED] * masked + kept[masked:])
    if not ids:
        raise UserError(
            f"none of {len(rows)} prompts leaves room for a response in train.max_length = {length}"
        )
    notes = _told(num_cut, len(rows), f"cut at {length} tokens, without the end-of-text token")
    notes += _told(len(rows) - len(ids), len(rows), f"left out: prompts of {length} tokens alone")
    return Sequences(ids, _pad(tokenizer), labels=labels, notes=notes)


def pairs(
    tokenizer: Any, rows: Sequence[Prompted], length: int, target_length: int | None
) -> Pairs:
    """Tokenise sources and targets, each with the special tokens that the model wants.

    Args:
        tokenizer: of the model.
        rows: at least one.
        length: of a source, at most.
        target_length: of a target; None: `length`.
    """
    most = target_length or length
    sources, targets = _texts(tokenizer, rows, length), []
    num_cut = 0
    for row in rows:
        ids, cut = _target(tokenizer, row.response, most)
        targets.append(ids)
        num_cut += cut
    notes = _told(sources.num_cut, len(rows), f"source cut at {length} tokens")
    notes += _told(num_cut, len(rows), f"target cut at {most} tokens")
    return Pairs(sources, _pad(tokenizer), targets=targets, target_width=target_length, notes=notes)


def _target(tokenizer: Any, text: str, most: int) -> tuple[list[int], bool]:
    """Return a target's tokens, at most so many, and whether it was cut.

    A tokenizer that ends texts ends also what it cuts; for others the end-of-text token is added.
    """
    end = end_of_text(tokenizer)
    whole = tokenizer(text_target=text, verbose=False)["input_ids"]
    if not whole or whole[-1] != end:
        return [*whole, end][:most], len(whole) >= most
    kept = tokenizer(text_target=text, truncation=True, max_length=most)["input_ids"]
    return kept, len(whole) > most


def prompts(tokenizer: Any, rows: Sequence[Prompted], length: int) -> Prompts:
    """Tokenise the prompts of a decoder; of one that is too long its end is kept.

    Raises:
        UserError: the tokenizer has no end-of-text token, at which generation stops.
    """
    end_of_text(tokenizer)
    whole = [prompt_ids(tokenizer, row.prompt) for row in rows]
    num_cut = sum(len(ids) > length for ids in whole)
    return Prompts(
        [ids[-length:] for ids in whole],
        _pad(tokenizer),
        references=[tuple(row.accepted) for row in rows],
        tokenizer=tokenizer,
        left=True,
        notes=_told(num_cut, len(rows), f"prompt cut to its last {length} tokens"),
    )


def sources(tokenizer: Any, rows: Sequence[Prompted], length: int) -> Prompts:
    """Tokenise the sources of an encoder; one that is too long is cut at its end."""
    ids = _texts(tokenizer, rows, length)
    return Prompts(
        ids,
        _pad(tokenizer),
        references=[tuple(row.accepted) for row in rows],
        tokenizer=tokenizer,
        left=False,
        notes=_told(ids.num_cut, len(rows), f"source cut at {length} tokens"),
    )


def end_of_text(tokenizer: Any) -> int:
    """Return the id that ends a text.

    Raises:
        UserError: there is none.
    """
    end: int | None = tokenizer.eos_token_id
    if end is None:
        raise UserError(
            f"{type(tokenizer).__name__} has no end-of-text token: responses learned with it would "
            "never end; a model of words or of masked tokens is none for this task"
        )
    return end


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Return the tokens of a prompt, with those that begin a text and none that ends it."""
    ids = _ids(tokenizer, prompt)
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    if not ids:
        raise UserError(f"the prompt {prompt!r} has no tokens; take the row out")
    return ids


class _Texts(list[list[int]]):
    """Token ids of texts, and how many were too long."""

    num_cut = 0


def _texts(tokenizer: Any, rows: Sequence[Prompted], length: int) -> _Texts:
    texts = [row.prompt for row in rows]
    whole = tokenizer(texts, verbose=False)["input_ids"]
    ids = _Texts(tokenizer(texts, truncation=True, max_length=length)["input_ids"])
    ids.num_cut = sum(len(kept) < len(all_) for kept, all_ in zip(ids, whole, strict=True))
    return ids


def _ids(tokenizer: Any, text: str, special: bool = True) -> list[int]:
    # Not verbose: a text longer than the model's inputs is about to be cut.
    ids: list[int] = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
    return ids


def _pad(tokenizer: Any) -> int:
    return tokenizer.pad_token_id or 0


def _told(count: int, total: int, what: str) -> tuple[str, ...]:
    return (f"{count:,} of {total:,} rows {what}",) if count else ()


def all_text(rows: Sequence[Any], family: str) -> bool:
    """Tell rows of running text from prompts with responses.

    Raises:
        UserError: there are none, or they are of several kinds, or of another family.
    """
    found = {type(row) for row in rows}
    if found not in ({Text}, {Prompted}):
        named = ", ".join(sorted(kind.__name__ for kind in found)) or "none"
        raise UserError(f"rows of the family {family} are all Text or all Prompted; got {named}")
    return found == {Text}
