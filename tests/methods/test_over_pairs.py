"""Every method over every other one: tried to the end of a run, or refused as a suite is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from contract import LABELS, PLAN, train
from pydantic import ValidationError
from tiny import batch, build, logits

from methods import METHODS, get_method

SAFE: dict[str, Any] = {"tau": {"quantile": 0.6}, "max_warmup": 2, "probe": 2}
WRAPPERS: dict[str, tuple[str, dict[str, Any]]] = {
    "safe": ("safe", SAFE),
    "safe, merging": ("safe", {**SAFE, "merge": True}),
    "safe, local": ("safe", {**SAFE, "activation": "local"}),
    "safe, caching": ("safe", {**SAFE, "cache_prefix": True}),
    "adapterdrop": ("adapterdrop", {}),
    "adapterdrop, specialised": ("adapterdrop", {"mode": "specialised", "layers_dropped": 1}),
    "sparseadapter": ("sparseadapter", {}),
}
PEFT: dict[str, dict[str, Any]] = {
    "lora": {"r": 4, "use_dora": True, "target_modules": "qv"},
    "adalora": {"tinit": 1, "tfinal": 4, "target_modules": "qv"},
    "ia3": {},
    "beft": {},
    "vera": {"r": 4, "target_modules": "six"},
    "prompt_tuning": {"num_virtual_tokens": 3},
}
BASES: dict[str, dict[str, Any]] = {
    "adalora": {"delta_t": 1},
    "loraprune": {"r": 4, "interval": 1, "warm_up": 0.0, "cool_down": 0.8},
    "safe": {"over": "lora", **SAFE},
    "adapterdrop": {"over": "lora"},
    "sparseadapter": {"over": "lora"},
}
# What cannot work, and the reason that a user reads.
REFUSED = {
    "safe": {
        "meft": "two streams", "prompt_tuning": "learns a prompt", "safe": "undo each other",
    },
    "safe, merging": {
        "full": "own tensors", "bitfit": "own biases", "houlsby": "non-linear",
        "pfeiffer": "non-linear", "adalora": "one budget", "peft-adalora": "one budget",
        "loraprune": "importance", "beft": "cannot merge",
    },
    "safe, local": {"adalora": "all layers", "peft-adalora": "all layers", "loraprune": "masks"},
    "safe, caching": {"full": "embeddings", "adapterdrop": "steps"},
    "adapterdrop": {
        "meft": "two streams", "prompt_tuning": "learns a prompt", "adapterdrop": "undo each other",
        "adalora": "all layers", "peft-adalora": "all layers", "loraprune": "masks",
    },
    "adapterdrop, specialised": dict.fromkeys(
        ("full", "loraprune", "meft", "safe", "adapterdrop", "sparseadapter", "peft"), "no option",
    ),
    "sparseadapter": dict.fromkeys(
        set(METHODS) - {"lora", "houlsby", "pfeiffer"}, "sparseadapter does not work over",
    ),
}  # fmt: skip


def _pairs() -> Iterator[Any]:
    bases = {name: (name, BASES.get(name, {})) for name in METHODS if name != "peft"}
    bases |= {
        "peft-adalora" if kind == "adalora" else kind: ("peft", {"type": kind, **options})
        for kind, options in PEFT.items()
        if kind != "lora"
    }
    bases["dora"] = ("peft", {"type": "lora", **PEFT["lora"]})
    for wrapper, (name, options) in WRAPPERS.items():
        for base, (kind, own) in bases.items():
            # Every way of SAFE wants what its plain one wants.
            refused = {**(REFUSED["safe"] if name == "safe" else {}), **REFUSED[wrapper]}
            reason = refused.get(base) or refused.get(kind)
            yield pytest.param(
                name, {**options, "over": {kind: own}}, reason, id=f"{wrapper} over {base}"
            )


@pytest.mark.parametrize(("name", "options", "reason"), _pairs())
def test_pair(name: str, options: dict[str, Any], reason: str | None) -> None:
    if reason is not None:
        with pytest.raises(ValidationError, match=reason):
            get_method(name)(**options)
        return
    method = get_method(name)(**options)
    torch.manual_seed(7)
    handle = method.attach(build(labels=3, seed=1), PLAN)
    train(handle, steps=PLAN.num_epochs)
    handle.evaluating(on=True)
    assert handle.model(**batch(), labels=LABELS).loss.isfinite()
    report = handle.report()
    if name == "safe":
        assert len(report["frozen_at_epoch"]) == 2, "0.6 of 4 units"
    elif name == "adapterdrop" and "layers_per_step" in report:
        assert report["layers_per_step"] < 4
    elif name == "sparseadapter":
        assert report["kept"] == round(0.6 * report["of"])
    told = [text for text in handle.shortfalls() if text.lower().startswith(name)]
    assert told == [], "the method around did what it is for"
    handle.compact()
    before = logits(handle.model)
    after = logits(handle.finish(handle.model))
    assert torch.allclose(before, after, atol=1e-4)


def test_a_refusal_names_the_methods_that_can() -> None:
    with pytest.raises(ValidationError, match=r"safe with merge: true does not work over 'adalora'"
                       r": .*allowed: aflora, elora, lora, sora\)"):  # fmt: skip
        get_method("safe")(over="adalora", **SAFE, merge=True)


def test_what_is_merged_or_cached_cannot_be_left_out() -> None:
    for option, reason in (("merge", "no longer be left out"), ("cache_prefix", "caches")):
        with pytest.raises(ValidationError, match=reason):
            get_method("adapterdrop")(over={"safe": {"over": "lora", **SAFE, option: True}})
