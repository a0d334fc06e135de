"""A method that did less than it is for says so, and one that did it says nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contract import LABELS, train
from tiny import batch, build

from methods import Handle, Plan, get_method

PLAN = Plan(num_steps=12, steps_per_epoch=1, num_epochs=12, seed=3)
LORA = {"lora": {"r": 4}}
SAFE: dict[str, Any] = {"over": LORA, "probe": 2}
# Name, options of a run that does what it is for, of one that does not, and what that says.
RUNS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("safe", {"tau": {"quantile": 0.5}, "max_warmup": 2}, {"tau": {"quantile": 0.5}},
     "froze none of 4 units, not the 2 that quantile 0.5 promises: the warm-up did not end"),
    ("safe", {"tau": 1.0, "max_warmup": 2}, {"tau": 1e-9, "max_warmup": 2},
     "froze none of 4 units: importances were not below the threshold"),
    ("aflora", {"r": 4}, {"r": 4, "t_f": {"epochs": 0}}, "of 16 projections, where its schedule"),
    ("loraprune", {"r": 4, "ratio": 0.3, "interval": 1, "initial": 0.25}, {"r": 4, "interval": 3},
     "heads and channels of the layers that it prunes, not the"),
    ("sora", {"r": 4, "xi": 0.1}, {"r": 4, "xi": 1e-7}, "zeroed none of 96 gates: xi moved each"),
    ("adalora", {"delta_t": 1}, {"init_r": 3, "target_r": 2, "tfinal": {"fraction": 0.2}},
     "ranks are not the 48 of its target"),
    ("sparseadapter", {"over": LORA}, {"over": LORA, "pruner": "snip", "score_after": 2},
     "masked nothing"),
    ("adapterdrop", {"over": LORA}, {"over": LORA}, "left no adapter out in any of 12 steps"),
    ("meft", {}, {"recon_tol": 1e-9}, "relative error"),
]  # fmt: skip


def trained(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch | None) -> Handle:
    torch.manual_seed(7)
    given = {**(SAFE if name == "safe" else {}), **options}
    handle: Any = get_method(name)(**given).attach(build(labels=3, seed=1), PLAN)
    if monkeypatch and name == "adapterdrop":
        monkeypatch.setattr(handle, "variant", lambda step: ())
    if monkeypatch and name == "sparseadapter":
        monkeypatch.setattr(handle, "_score_in_training", lambda step: None)
    if monkeypatch and name == "adalora":  # as if the best epoch were one before the final phase
        monkeypatch.setattr(handle, "_allocate", lambda open_, budget: None)
    train(handle, steps=PLAN.num_epochs)
    return handle  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "good", "bad", "said"), RUNS)
def test_a_run_says_what_it_did_not_do(
    name: str,
    good: dict[str, Any],
    bad: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert trained(name, good, None).shortfalls() == []
    short = trained(name, bad, monkeypatch)
    [sentence] = short.shortfalls()
    assert said in sentence
    again: Any = get_method(name)(**{**(SAFE if name == "safe" else {}), **bad})
    resumed = again.attach(build(labels=3, seed=1), PLAN)
    if name == "adapterdrop":
        monkeypatch.setattr(resumed, "variant", lambda step: ())
    resumed.on_start([{**batch(), "labels": LABELS}])
    resumed.load_state_dict(short.state_dict())
    with torch.no_grad():
        for key, parameter in resumed.adapter.items():
            parameter.copy_(short.adapter[key])
    for key, parameter in resumed.adapter.items():
        parameter.requires_grad_(short.adapter[key].requires_grad)
    assert resumed.shortfalls() == [sentence], "a resumed run says the same"


REMARKS: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("tiny-gpt2", "safe", {"over": {"lora": {"targets": "qv"}}, "tau": 0.1, "merge": True},
     ["it is taken apart for it", "without their dropout"]),
    ("tiny-bert", "safe", {"over": LORA, "tau": 0.1, "prefix": True, "cache_prefix": True,
                           "freeze_in_final": True},
     ["prefix freezes from below", "cache_prefix keeps", "freeze_in_final freezes"]),
    ("tiny-bert", "safe", {"over": LORA, "tau": 0.1}, []),
    ("tiny-bert", "adapterdrop", {"over": LORA, "layers_dropped": 1}, ["scores are without the"]),
    ("tiny-bert", "sparseadapter", {"over": LORA, "pruner": "snip", "score_after": 5, "large": 2},
     ["large 2 makes the adapters and alpha", "score_after trains 5 steps"]),
    ("tiny-bert", "aflora", {}, ["published counts and Fig. 5 are of rule official"]),
    ("tiny-bert", "aflora", {"rule": "official"}, ["the released code updates it once more"]),
    ("tiny-bert", "aflora", {"freezing": "none"}, []),
    ("tiny-bert", "full", {}, ["the pooler trains with the model"]),
    ("tiny-gpt2", "full", {}, []),
    ("tiny-bert", "loraprune", {"compact_at": [0.5]},
     ["1 of the layers keep all", "compact_at may change"]),
    ("tiny-bart", "lora", {"targets": "ffn", "layers": "upper-half"}, ["are all in the decoder"]),
    ("tiny-bart", "houlsby", {"layers": [0, 1]}, ["layers [0, 1) are all in the encoder here"]),
    ("tiny-bart", "pfeiffer", {}, []),
    ("tiny-bert", "houlsby", {"layers": "lower-half"}, []),
    ("tiny-bert", "bitfit", {"embeddings": True}, ["down to which backward goes"]),
    ("tiny-llama", "peft", {"type": "lora", "target_modules": "six"}, ["leaves out mlp.gate_proj"]),
    ("tiny-llama", "peft", {"type": "lora", "target_modules": ["q_proj"]}, []),
]  # fmt: skip


@pytest.mark.parametrize(("model", "name", "options", "said"), REMARKS)
def test_what_options_do_beside_is_told(
    model: str, name: str, options: dict[str, Any], said: list[str]
) -> None:
    plain = Plan(num_steps=120, steps_per_epoch=10, num_epochs=12)
    remarks = get_method(name)(**options).remarks(build(model), plain)
    assert len(remarks) == len(said)
    assert all(part in text for part, text in zip(said, remarks, strict=True))


def test_a_method_over_another_passes_on_what_that_says() -> None:
    over = {"aflora": {"r": 4, "t_f": {"epochs": 0}}}
    safe = trained("safe", {"over": over, "tau": {"quantile": 0.0}}, None)
    [sentence] = safe.shortfalls()
    assert sentence.startswith("AFLoRA froze")
