"""Families of language models: encoding, losses, likelihoods and generated answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import speaking
import torch
from tiny import PLAN
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from harness.errors import UserError
from harness.tasks.families.encoding import BETWEEN_TEXTS
from harness.tasks.families.language import CausalLM, Seq2Seq
from harness.tasks.families.sequences import IGNORED
from harness.tasks.generation import Generation
from harness.tasks.language.likelihood import perplexity
from harness.tasks.texts import Prompted, Text
from methods import get_method

PROMPTS = [Prompted(mr + " ||", " " + texts[0], tuple(texts)) for mr, texts in speaking.meanings()]
BEAMS = Generation(num_beams=4, length_penalty=0.8, no_repeat_ngram_size=4, max_new_tokens=12)


@pytest.fixture(scope="module")
def words() -> Any:
    return speaking.tokenizer()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = speaking.model(tmp_path_factory.mktemp("llama"), "tiny-llama")
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = speaking.model(tmp_path_factory.mktemp("bart"), "tiny-bart")
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def test_blocks_overlap_nowhere_and_the_tail_is_dropped(words: Any) -> None:
    rows = [Text(row.prompt) for row in PROMPTS]
    data: Any = CausalLM().encode(words, rows, 16)
    whole = words(BETWEEN_TEXTS.join(row.text for row in rows))["input_ids"]
    assert [token for block in data.ids for token in block] == whole[: 16 * len(data)]
    assert 0 < len(whole) - 16 * len(data) < 16
    assert data.terms(range(len(data))) == 15 * len(data), "a block's first token is not predicted"
    with pytest.raises(UserError, match="less than one block of 9999"):
        CausalLM().encode(words, rows, 9999)


def test_perplexity_by_hand(words: Any, llama: Any) -> None:
    """In batches of two kinds it is what one block after the other gives in float64."""
    data = CausalLM().encode(words, [Text(row.prompt) for row in PROMPTS], 16)
    total = torch.zeros((), dtype=torch.float64)
    for block in data.ids:  # type: ignore[attr-defined]
        with torch.no_grad():
            logits = llama(input_ids=torch.tensor([block])).logits[0].double()
        for place in range(1, 16):
            total -= logits[place - 1].log_softmax(-1)[block[place]]
    by_hand = math.exp(total / (15 * len(data)))
    kept = [row for i in range(0, len(data), 4) for row in _predicted(llama, data, i, 4)]
    found = perplexity(CausalLM().predictions(kept, data))
    assert found == pytest.approx(by_hand, rel=1e-6)
    assert found < 2 * len(words)


def _predicted(model: Any, data: Any, first: int, size: int) -> torch.Tensor:
    family = CausalLM()
    batch = data.batch(list(range(first, min(first + size, len(data)))))
    with torch.no_grad():
        return family.predict(model, family.prediction_inputs(batch))


def test_likelihoods_of_padded_rows_are_those_alone(words: Any, llama: Any) -> None:
    data = CausalLM().encode(words, PROMPTS, 64)
    together = _predicted(llama, data, 0, len(data))
    alone = torch.cat([_predicted(llama, data, i, 1) for i in range(len(data))])
    assert together[:, 1].tolist() == [float(data.terms([i])) for i in range(len(data))]
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_learned_tokens_in_front_of_a_text_are_not_scored(words: Any, tmp_path: Path) -> None:
    folder = speaking.model(tmp_path, "tiny-gpt2")
    data = CausalLM().encode(words, PROMPTS[:3], 64)
    method = get_method("peft")(type="prompt_tuning", num_virtual_tokens=4)
    handle = method.attach(AutoModelForCausalLM.from_pretrained(folder), PLAN)
    handle.model.eval()
    scored = _predicted(handle.model, data, 0, 3)
    with torch.no_grad():
        loss = handle.model(**data.batch(range(3))).loss
    assert float(scored[:, 1].sum()) == data.terms(range(3))
    assert float(scored[:, 0].sum() / scored[:, 1].sum()) == pytest.approx(float(loss), rel=1e-5)


def test_masked_prompts_have_no_gradient(words: Any, llama: Any) -> None:
    """What a prompt's tokens would predict moves nothing; of a learned one it does."""
    row = PROMPTS[0]
    number = len(words(row.prompt)["input_ids"])
    for learns in (False, True):
        data = CausalLM(train_on_prompt=learns).encode(words, [row], 64)
        batch = data.batch([0])
        logits = llama(**batch).logits.detach().requires_grad_(True)
        llama.loss_function(logits, batch["labels"], vocab_size=logits.shape[-1]).backward()
        assert logits.grad is not None
        sizes = logits.grad[0].abs().sum(-1)
        assert bool(sizes[: number - 1].any()) is learns
        assert bool(sizes[number - 1 : -1].all()), "the response's tokens, and the end of the text"
        assert data.terms([0]) == int((sizes > 0).sum())


def test_a_row_says_whether_its_prompt_is_learned_unless_the_settings_do(words: Any) -> None:
    rows = [Prompted("name[Zizzi] ||", " Zizzi", learn_prompt=learns) for learns in (False, True)]
    masked, learned = (CausalLM().encode(words, [row], 64) for row in rows)
    assert masked.terms([0]) < learned.terms([0])
    said: Any = CausalLM(train_on_prompt=False).encode(words, rows, 64)
    assert said.labels[0] == said.labels[1]
    assert said.labels[0][0] == IGNORED


def test_what_is_cut_has_no_end_and_is_told(words: Any) -> None:
    rows = [Prompted("Zizzi", " serves food"), Prompted("Zizzi serves", " Italian food at Zizzi")]
    whole: Any = CausalLM().encode(words, rows, 64)
    assert [ids[-1] for ids in whole.ids] == [words.eos_token_id] * 2
    assert whole.notes == ()
    length = len(words(rows[1].prompt)["input_ids"])
    cut: Any = CausalLM().encode(words, rows, length + 1)
    assert cut.ids[-1] == whole.ids[-1][: length + 1]
    assert "cut at" in cut.notes[0]
    left: Any = CausalLM().encode(words, rows, length)
    assert len(left) < len(rows)
    assert "left out" in left.notes[-1]
    with pytest.raises(UserError, match="leaves room for a response"):
        CausalLM().encode(words, rows, 1)


def test_a_tokenizer_without_an_end_is_refused(words: Any) -> None:
    endless = speaking.tokenizer()
    endless.eos_token = None
    for encode in (CausalLM().encode, lambda *a: CausalLM().encode_evaluation(*a, BEAMS)):
        with pytest.raises(UserError, match="no end-of-text token"):
            encode(endless, PROMPTS, 64)


@pytest.mark.parametrize("generation", [Generation(max_new_tokens=12), BEAMS])
def test_left_padding_answers_as_a_batch_of_one(
    words: Any, llama: Any, generation: Generation
) -> None:
    family, rows = CausalLM(), [Prompted(row["article"], "") for row in speaking.articles()[:9]]
    data: Any = family.encode_evaluation(words, rows, 64, generation)
    assert len(set(data.lengths)) > 3
    batch = data.batch(range(len(data)))
    assert not batch["attention_mask"][:, 0].all()
    assert batch["attention_mask"][:, -1].all()
    together = [data.text(row) for row in family.generate(llama, batch, generation)]
    alone = [data.text(family.generate(llama, data.batch([i]), generation)[0])
             for i in range(len(data))]  # fmt: skip
    assert together == alone
    assert len(set(together)) > 2
    assert all(together)


@pytest.mark.parametrize("generation", [Generation(max_new_tokens=12), BEAMS])
def test_the_search_is_transformers_own(words: Any, llama: Any, generation: Generation) -> None:
    data = CausalLM().encode_evaluation(words, PROMPTS[:4], 64, generation)
    batch = data.batch(range(4))
    llama.generation_config.min_new_tokens = 20  # of the model, which must not act
    ours = CausalLM().generate(llama, batch, generation)
    llama.generation_config.min_new_tokens = None
    theirs = llama.generate(**batch, do_sample=False, **generation.model_dump())
    assert torch.equal(ours, theirs[:, batch["input_ids"].shape[1] :])
    assert torch.equal(ours, CausalLM().generate(llama, batch, generation)), "deterministic"


@pytest.mark.parametrize("generation", [Generation(max_new_tokens=8), BEAMS])
def test_an_encoder_decoder_answers_as_transformers_has_it(
    words: Any, bart: Any, generation: Generation
) -> None:
    family = Seq2Seq()
    data: Any = family.encode_evaluation(words, PROMPTS[:5], 64, generation)
    batch = data.batch(range(5))
    assert batch["attention_mask"][:, 0].all(), "an encoder pads on the right"
    ours = family.generate(bart, batch, generation)
    theirs = bart.generate(**batch, do_sample=False, **generation.model_dump())
    assert torch.equal(ours, theirs[:, 1:])
    alone = [family.generate(bart, data.batch([i]), generation)[0] for i in range(5)]
    assert [data.text(row) for row in ours] == [data.text(row) for row in alone]


def test_generation_keeps_keys_and_values_where_training_does_not(words: Any, llama: Any) -> None:
    data = CausalLM().encode_evaluation(words, PROMPTS[:2], 64, BEAMS)
    llama.config.use_cache, lengths = False, []
    hook = llama.model.layers[0].register_forward_pre_hook(
        lambda _, args: lengths.append(args[0].shape[1])
    )
    CausalLM().generate(llama, data.batch([0, 1]), Generation(max_new_tokens=5))
    hook.remove()
    assert lengths[1:] == [1] * (len(lengths) - 1)
    assert len(lengths) > 1


def test_targets_have_a_length_of_their_own(words: Any) -> None:
    rows = [Prompted(row["article"], row["highlights"] * 3) for row in speaking.articles()]
    free, cut = Seq2Seq().encode(words, rows, 32), Seq2Seq(max_target_length=5)
    data = cut.encode(words, rows, 32)
    longest = free.shape(range(len(rows))).target_length
    assert longest is not None
    assert longest > 5
    assert data.shape(range(len(rows))).target_length == 5
    assert data.batch(range(4), 32)["labels"].shape == (4, 5)
    assert free.batch(range(4), 32)["labels"].shape == (4, 32)
    assert data.terms(range(4)) == int((data.batch(range(4))["labels"] != IGNORED).sum())
    assert any("target cut at 5" in note for note in data.notes)  # type: ignore[attr-defined]


def test_a_target_ends_with_the_end_of_the_text_unless_it_was_cut(words: Any) -> None:
    rows = [Prompted("Zizzi", "Zizzi serves food")]
    whole: Any = Seq2Seq().encode(words, rows, 32)
    assert whole.targets[0][-1] == words.eos_token_id
    assert words.eos_token_id not in whole.targets[0][:-1]
    cut: Any = Seq2Seq(max_target_length=2).encode(words, rows, 32)
    assert cut.targets[0] == whole.targets[0][:2]


def test_a_sequence_to_sequence_likelihood_is_the_loss(words: Any, bart: Any) -> None:
    family = Seq2Seq()
    rows = [Prompted(row["article"], row["highlights"]) for row in speaking.articles()]
    data = family.encode(words, rows, 32)
    batch = data.batch(range(6))
    with torch.no_grad():
        sums = family.predict(bart, family.prediction_inputs(batch)).sum(0)
        logits = bart(**batch).logits
    assert float(sums[1]) == data.terms(range(6))
    mean = functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
    assert float(sums[0] / sums[1]) == pytest.approx(float(mean), rel=1e-5)


def test_rows_of_another_kind_are_refused(words: Any) -> None:
    mixed = [Text("Zizzi"), PROMPTS[0]]
    with pytest.raises(UserError, match="all Text or all Prompted; got Prompted, Text"):
        CausalLM().encode(words, mixed, 8)
    with pytest.raises(UserError, match="no prompts"):
        CausalLM().encode_evaluation(words, [Text("Zizzi")], 8, BEAMS)
    with pytest.raises(UserError, match="no targets"):
        Seq2Seq().encode(words, [Text("Zizzi")], 8)


def test_a_saved_tokenizer_is_the_model_s(tmp_path: Path) -> None:
    """The support of these tests: what is loaded is what was made."""
    loaded = AutoTokenizer.from_pretrained(speaking.model(tmp_path, "tiny-gpt2"))
    assert loaded("Zizzi serves food")["input_ids"] == speaking.tokenizer()("Zizzi serves food")[
        "input_ids"
    ]  # fmt: skip
