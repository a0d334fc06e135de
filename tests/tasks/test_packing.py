"""Packed examples: what a row holds, and that its loss and gradients are the examples' own."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny
from torch import Tensor, nn

from harness.tasks.families.packing import Packed, packs_of, refuse_leaks, refuse_unpackable
from harness.tasks.families.sequences import IGNORED, Sequences

LENGTHS = [9, 5, 3, 12, 7, 2]
# Plain, learned positions, sliding windows, norms of heads, experts.
MODELS = ["llama", "gpt2", "gemma2", "qwen3", "mixtral"]


def sequences() -> Sequences:
    ids = [[10 * (i + 1) + place for place in range(n)] for i, n in enumerate(LENGTHS)]
    labels = [[IGNORED, IGNORED, *row[2:]] for row in ids]
    return Sequences(ids, 0, labels=labels)


def model_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = tiny(kind, "AutoModelForCausalLM").eval()
    model.config.use_cache = False  # type: ignore[union-attr]
    return model


def test_every_example_is_in_one_pack_that_holds_it() -> None:
    packs = packs_of(LENGTHS, 14)
    assert sorted(i for pack in packs for i in pack) == list(range(len(LENGTHS)))
    assert all(sum(LENGTHS[i] for i in pack) <= 14 for pack in packs)
    assert packs == [[3, 5], [0, 1], [4, 2]]


def test_rows_restart_their_positions_and_predict_no_first_token() -> None:
    data = Packed(sequences(), 14, joined=False)
    batch = data.batch([1, 2])
    assert batch["position_ids"].tolist() == [
        [*range(9), *range(5)],
        [*range(7), 0, 1, 2, *range(4)],
    ]
    assert batch["input_ids"][1].tolist() == [*range(50, 57), 30, 31, 32, 0, 0, 0, 0]
    assert batch["labels"][1].tolist() == [
        IGNORED, IGNORED, *range(52, 57), IGNORED, IGNORED, 32, *[IGNORED] * 4,
    ]  # fmt: skip
    assert "attention_mask" not in batch
    assert data.terms([1, 2]) == int((batch["labels"] != IGNORED).sum())
    assert data.shape([1, 2]) == (2, 14, None, False, 6)  # with the padding of the third pack
    joined = Packed(sequences(), 14, joined=True).batch([1, 2])
    assert all(torch.equal(joined[name], batch[name].reshape(1, -1)) for name in batch)


def test_whole_blocks_are_not_packed() -> None:
    blocks = Sequences([[1, 2, 3, 4]] * 3, 0, labels=[[1, 2, 3, 4]] * 3)
    assert Packed(blocks, 4, joined=False).shape([0, 1]).packed is None


def summed(model: nn.Module, batch: dict[str, Tensor], terms: int) -> float:
    """Add the gradients of a batch's summed loss; return that."""
    loss = model(**batch).loss * terms
    loss.backward()
    return float(loss)


@pytest.mark.parametrize("kind", MODELS)
def test_the_loss_is_that_of_the_examples(kind: str) -> None:
    model, data = model_of(kind), sequences()
    alone = sum(summed(model, data.batch([i]), data.terms([i])) for i in range(len(data)) if
                data.terms([i]))  # fmt: skip
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    packed = Packed(data, 14, joined=False)
    every = range(len(packed))
    assert summed(model, packed.batch(every), packed.terms(every)) == pytest.approx(alone, rel=1e-5)
    for name, p in model.named_parameters():
        if p.grad is not None:
            close = 1e-5 * max(1.0, float(expected[name].abs().max()))
            assert torch.allclose(p.grad, expected[name], rtol=0, atol=close), name


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("bart", "takes no positions"), ("qwen3_next", r"no attention \(linear_attention\)")],
)
def test_a_model_that_cannot_is_refused(kind: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"train.padding = packed: {kind}: .*{reason}"):
        refuse_unpackable(model_of(kind))


def test_a_model_that_does_not_tell_them_apart_is_refused() -> None:
    """Its code takes positions, and makes its masks without them."""
    device = torch.device("cpu")
    for kind in MODELS:
        refuse_unpackable(model_of(kind))
        refuse_leaks(model_of(kind), device)
    refuse_unpackable(model_of("gpt_oss"))
    with pytest.raises(ValueError, match="gpt_oss: the examples of a row see one another"):
        refuse_leaks(model_of("gpt_oss"), device)
