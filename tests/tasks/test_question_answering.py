"""The family question_answering: windows, labels, and answers from logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import build

from harness.errors import UserError
from harness.shapes import BatchShape
from harness.tasks.families import get_family
from harness.tasks.families import spans as answers
from harness.tasks.families import windows as cutting
from harness.tasks.families.questions import Answer, Question

FAMILY = get_family("question_answering")
WORDS = [f"w{index}" for index in range(400)]


def question(text: str, answer: str, asked: str = "which word ?") -> Question:
    return Question(asked, text, (Answer(answer, text.index(answer)),))


def tokenizer(kind: str) -> Any:
    """Return a word-level tokenizer with the special tokens of BERT or of RoBERTa."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = {"bert": ("[CLS]", "[SEP]", "[PAD]"), "roberta": ("<s>", "</s>", "<pad>")}[kind]
    start, end, pad = names
    vocabulary = {word: i for i, word in enumerate([pad, start, end, "[UNK]", "which", "word", "?",
                                                    *WORDS])}  # fmt: skip
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    bert = kind == "bert"
    inner.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1" if bert else f"{start} $A {end} {end} $B {end}",
        special_tokens=[(name, vocabulary[name]) for name in (start, end)],
    )
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if bert else [])]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token=pad, unk_token="[UNK]", cls_token=start, sep_token=end,
        model_input_names=inputs,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize(("words", "length"), [(400, 384), (400, 300), (381, 384), (3, 384)])
def test_windows_are_those_of_the_official_script(kind, words, length):
    """run_qa.py has the tokenizer cut the text, with an overlap of 128 tokens."""
    row = question(" ".join(WORDS[:words]), "w2")
    ours = FAMILY.encode(tokenizer(kind), [row], length)
    official = tokenizer(kind)(
        [row.question], [row.context], truncation="only_second", max_length=length, stride=128,
        return_overflowing_tokens=True,
    )  # fmt: skip
    assert ours.features["input_ids"] == official["input_ids"]
    assert ours.features["attention_mask"] == official["attention_mask"]
    assert ("token_type_ids" in ours.features) == (kind == "bert")
    if kind == "bert":
        assert ours.features["token_type_ids"] == official["token_type_ids"]


@pytest.mark.parametrize(("kind", "specials"), [("bert", 2), ("roberta", 3)])
def test_an_answer_has_its_tokens_positions_or_those_of_the_first_special_token(kind, specials):
    row = question(" ".join(WORDS), "w290 w291 w292")
    data = FAMILY.encode(tokenizer(kind), [row], 384)
    front = 3 + specials  # three tokens of the question
    room = 384 - front - 1
    step = room - 128
    assert len(data) == 2
    # The first window ends before w400, the second one begins at w{step}.
    assert data.labels.tolist() == [
        [front + 290, front + 292],
        [front + 290 - step, front + 292 - step],
    ]
    cut = question(" ".join(WORDS), f"w{room - 1} w{room}")  # across the first window's end
    assert FAMILY.encode(tokenizer(kind), [cut], 384).labels[0].tolist() == [0, 0]
    last = question(" ".join(WORDS), "w399")
    assert FAMILY.encode(tokenizer(kind), [last], 384).labels[0].tolist() == [0, 0]


def test_an_answer_inside_of_a_word_has_the_whole_words_tokens():
    data = FAMILY.encode(tokenizer("bert"), [question("w10 w200 w30", "00 w3")], 384)
    assert data.labels.tolist() == [[6, 7]]


def test_a_text_without_an_answer_points_to_the_first_special_token():
    data = FAMILY.encode(tokenizer("bert"), [Question("which ?", "w1 w2", ())], 384)
    assert data.labels.tolist() == [[0, 0]]


def test_short_windows_share_half_of_their_text():
    data = FAMILY.encode(tokenizer("bert"), [question(" ".join(WORDS[:20]), "w1")], 16)
    texts = [[i - 7 for i in ids if i >= 7] for ids in data.features["input_ids"]]
    assert texts == [[*range(10)], [*range(5, 15)], [*range(10, 20)]]


def test_long_questions_are_cut_and_no_room_for_a_text_is_refused():
    row = question("w0 w1 w2", "w1", asked=" ".join(WORDS[:100]))
    data = FAMILY.encode(tokenizer("bert"), [row], 384)
    assert data.lengths == [1 + cutting.QUESTION_TOKENS + 1 + 3 + 1]
    assert data.labels.tolist() == [[cutting.QUESTION_TOKENS + 3] * 2]
    with pytest.raises(UserError, match=r"max_length 67 leaves no room .* takes 67 tokens"):
        FAMILY.encode(tokenizer("bert"), [row], 67)
    assert len(FAMILY.encode(tokenizer("bert"), [row], 68)) == 3  # a token of the text in each


def test_a_text_without_tokens_is_refused():
    with pytest.raises(UserError, match="has a text without tokens: '  '"):
        FAMILY.encode(tokenizer("bert"), [Question("which ?", "  ", ())], 384)


def test_white_space_before_a_question_makes_no_tokens():
    plain, spaced = (question("w0 w1", "w1", asked=asked) for asked in ("word ?", "   word ?"))
    ours = [FAMILY.encode(tokenizer("bert"), [row], 32).features for row in (plain, spaced)]
    assert ours[0] == ours[1]


def peaked(data: Any, window: int, first: int, last: int, height: float) -> torch.Tensor:
    """Return logits (2, S) of a window, padded, with a start and an end that stand out."""
    logits = torch.zeros(2, data.lengths[window] + 3)
    logits[0, first], logits[1, last] = height, height
    return logits


def test_the_best_span_over_all_windows_of_a_question_is_its_answer():
    rows = [question(" ".join(WORDS), "w1"), question("w7, w8: w9", "w8")]
    data = FAMILY.encode_evaluation(tokenizer("bert"), rows, 384, None)
    front = 5
    kept = [
        peaked(data, 0, front + 3, front + 4, 2.0),
        peaked(data, 1, front, front + 1, 3.0),
        peaked(data, 2, front, front + 2, 1.0),
    ]
    step = 384 - front - 1 - 128
    assert FAMILY.predictions(kept, data) == [f"w{step} w{step + 1}", "w7, w8"]
    assert FAMILY.references(data) == [("w1",), ("w8",)]


def test_spans_that_are_too_long_backwards_or_outside_of_the_text_are_no_answers():
    data = FAMILY.encode_evaluation(tokenizer("bert"), [question(" ".join(WORDS[:60]), "w1")], 384,
                                    None)  # fmt: skip
    front = 5
    logits = peaked(data, 0, front + 10, front + 40, 9.0)  # 31 tokens
    logits[0, front + 11] = 8.0
    [answer] = FAMILY.predictions([logits], data)
    assert answer == " ".join(WORDS[11:41])
    assert len(answer.split()) == answers.MOST_TOKENS
    backwards = peaked(data, 0, front + 20, front + 10, 9.0)
    [answer] = FAMILY.predictions([backwards], data)
    first, last = (int(word[1:]) for word in (answer.split()[0], answer.split()[-1]))
    assert first == 20 or last == 10  # one of the two peaks, and no end before the start
    assert first <= last
    outside = peaked(data, 0, 0, 1, 9.0)  # [CLS], and a token of the question
    outside[:, front + 7] = 1.0
    assert FAMILY.predictions([outside], data) == ["w7"]


def test_only_the_twenty_best_starts_and_ends_are_paired():
    data = FAMILY.encode_evaluation(tokenizer("bert"), [question(" ".join(WORDS[:60]), "w1")], 384,
                                    None)  # fmt: skip
    length, front = data.lengths[0], 5
    logits = torch.zeros(2, length)
    logits[0, front + 30 : front + 50] = 5.0  # twenty starts, all behind ...
    logits[1, front : front + 20] = 5.0  # ... all twenty ends
    assert FAMILY.predictions([logits], data) == [""]
    logits[1, front + 19] = 0.0
    logits[1, front + 35] = 4.0
    [answer] = FAMILY.predictions([logits], data)
    assert answer.endswith("w35")


def test_what_is_no_number_is_no_answer():
    data = FAMILY.encode_evaluation(tokenizer("bert"), [question("w1 w2", "w1")], 384, None)
    logits = peaked(data, 0, 5, 5, 1.0)
    logits[0, 6] = float("nan")
    assert FAMILY.predictions([logits], data) == [""]


@pytest.mark.parametrize(("model", "kind"), [("tiny-bert", "bert"), ("tiny-roberta", "roberta")])
def test_a_hollow_batch_is_as_a_real_one(model, kind):
    rows = [question(" ".join(WORDS[:n]), "w1") for n in (10, 30)]
    data = FAMILY.encode(tokenizer(kind), rows, 64)
    real = data.batch([0, 1])
    shape = data.shape([0, 1])
    assert shape == BatchShape(2, data.lengths[1], padded=True)
    hollow = FAMILY.hollow_batch(
        build(model, "question_answering"), shape, mask=True, dtype=torch.float32
    )
    said = {name: (value.shape, value.dtype) for name, value in hollow.items()}
    assert said == {name: (value.shape, value.dtype) for name, value in real.items()}
    storages = {value.untyped_storage().data_ptr() for value in real.values()}
    assert len(storages) == len(real)
    assert all(v.untyped_storage().nbytes() == v.nbytes for v in real.values())
    assert data.terms([0, 1]) == 2  # the mean loss is over examples
    assert set(FAMILY.inputs(real)) == set(data.features)


def test_a_head_has_two_outputs_whatever_the_checkpoint_says():
    config = build("tiny-bert", "classification", labels=3).config
    FAMILY.set_head(config, 1)
    assert config.num_labels == 2


def test_the_loss_is_the_mean_of_the_two_positions_losses():
    model = build("tiny-bert", "question_answering").eval()
    data = FAMILY.encode(tokenizer("bert"), [question("w1 w2 w3", "w2 w3")], 64)
    batch = data.batch([0])
    batch["input_ids"] = batch["input_ids"] % model.config.vocab_size
    outputs = model(**batch)
    hands = [torch.log_softmax(logits[0], -1)[place] for logits, place in
             ((outputs.start_logits, 6), (outputs.end_logits, 7))]  # fmt: skip
    torch.testing.assert_close(outputs.loss, -(hands[0] + hands[1]) / 2)
