"""Generated answers without values: which passes are run, and what is asked of them."""

from __future__ import annotations

import pytest
from asked import forked, request

from harness.errors import UserError
from harness.shapes import BatchShape
from harness.simulation import decoding
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU, Target
from harness.tasks.generation import Generation

SM86 = Target(kind="cuda", capability=(8, 6))


def asked(model: str, beams: int, new: int, target: Target = CPU) -> Request:
    generation = Generation(num_beams=beams, no_repeat_ngram_size=3, max_new_tokens=new)
    plain = request(model, family="seq2seq" if model == "tiny-bart" else "causal_lm", target=target)
    return plain.model_copy(update={"evaluation": BatchShape(3, 12), "generation": generation})


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama", "tiny-bart"])
def test_passes_in_the_middle_need_not_be_run(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few = forked(fake_run, asked(model, 3, 7)).beside
    monkeypatch.setattr(decoding, "RUN", 99)
    assert forked(fake_run, asked(model, 3, 7)).beside == few


def test_more_beams_need_more_and_a_gpu_reserves_for_them() -> None:
    one, four = (forked(forecast, asked("tiny-llama", beams, 8, SM86)).needs["evaluation"]
                 for beams in (1, 4))  # fmt: skip
    assert four.allocated > one.allocated
    assert four.reserved >= one.reserved > 0


def test_answers_beyond_the_positions_are_refused() -> None:
    with pytest.raises(UserError, match="prompts with answers of up to 119 tokens need 131"):
        forked(fake_run, asked("tiny-gpt2", 1, 119))
