"""Every registered method against one list of rules: what the training loop relies on.

A new method needs one line in CASES. A rule that breaks says which, in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest
from contract import RULES, Case, check
from torch import nn

from harness.plugins import load_plugins
from methods import METHODS, REGISTRY, Change, Handle, Method, Plan, get_method, surgery
from methods.lora import Lora

_PARTIAL = frozenset({"every_layer_has_a_unit"})
# A prompt is no tensor of a layer, and no prompt leaves the model as it was.
_PROMPT = frozenset({"starts_at_the_base_model", "every_layer_has_a_unit"})

# A step leaves some adapters out: they get no gradient in it.
# BART's head looks for the end of each text, which tensors without values cannot say.
_BART = frozenset({"trains_on_fake_tensors", "looks_at_fake_tensors"})
_DROPPED = frozenset({"every_adapter_tensor_gets_a_gradient", "trains_on_fake_tensors"})
# Bottlenecks start near the base model, not at it.
_RANDOM = frozenset({"starts_at_the_base_model"})
# What freezes on the way goes into the base weights.
_MERGED = frozenset({"training_leaves_the_base_alone"})
_PRUNES_AT_ONCE = {"interval": 1, "warm_up": 0.0, "cool_down": 0.9}
# Two streams with a factor between them are near the base model, not the same bit for bit, and
# layers that hang together offer no units to other methods.
_STREAMS = frozenset({"starts_at_the_base_model", "every_layer_has_a_unit"})
_SAFE: dict[str, Any] = {"tau": {"quantile": 0.6}, "max_warmup": 2, "probe": 4}

CASES: dict[str, list[Case]] = {
    "full": [Case(), Case(model="tiny-llama")],
    "lora": [
        Case({"r": 4, "dropout": 0.1}),
        Case({"r": 4, "targets": ["query", "output.dense"], "layers": [1, 3]}, waived=_PARTIAL),
        Case({"r": 4, "targets": "qv"}, "tiny-gpt2"),
        # BART itself looks for the end of text by value, which fake tensors do not have.
        Case({"r": 4}, "tiny-bart", _BART),
        Case({"r": 4, "targets": "all-linear", "layers": "upper-half"}, "tiny-llama", _PARTIAL),
        Case({"r": 4, "init": "normal"}, waived=_RANDOM),
    ],
    "elora": [
        Case({"r": 8}),
        Case({"r": 8, "share": "by_shape"}),
        Case({"r": 8, "share": "none"}, "tiny-gpt2"),
    ],
    "bitfit": [Case(), Case({"embeddings": True, "pooler": True}), Case(model="tiny-gpt2")],
    "aflora": [
        Case({"r": 4}),
        Case({"r": 4, "adaptive": "both", "rule": "official"}, "tiny-gpt2"),
        Case({"adaptive": "none"}, "tiny-llama"),
    ],
    "safe": [
        Case({"over": {"lora": {"r": 4, "dropout": 0.1}}, **_SAFE}),
        Case(
            {"over": {"lora": {"r": 4}}, **_SAFE, "activation": "local", "merge": True},
            waived=_MERGED,
        ),
        Case({"over": {"lora": {"r": 4, "targets": "qv"}}, **_SAFE, "cache_prefix": True}),
        Case({"over": {"elora": {"r": 8}}, **_SAFE, "merge": True}, "tiny-gpt2", _MERGED),
        Case({"over": {"aflora": {"r": 4}}, **_SAFE, "merge": True}, waived=_MERGED),
        Case({"over": "bitfit", **_SAFE, "activation": "local"}, "tiny-roberta"),
        Case({"over": "full", **_SAFE}),
        Case({"over": {"peft": {"type": "ia3"}}, **_SAFE, "prefix": True}, "tiny-llama"),
        Case(
            {
                "over": {
                    "peft": {"type": "LORA", "r": 4, "use_dora": True, "target_modules": "qv"}
                },
                **_SAFE,
            }
        ),
        Case({"over": {"adapterdrop": {"over": {"lora": {"r": 4}}}}, **_SAFE}, waived=_DROPPED),
        Case({"over": "houlsby", **_SAFE, "activation": "local"}, waived=_RANDOM),
        Case(
            {"over": {"pfeiffer": {"init": "zero-up"}}, **_SAFE, "cache_prefix": True}, "tiny-gpt2"
        ),
    ],
    "adapterdrop": [
        Case({"over": {"lora": {"r": 4}}}, waived=_DROPPED),
        Case({"over": {"elora": {"r": 8}}, "mode": "subset"}, waived=_DROPPED),
        Case({"over": "bitfit", "layers_dropped": 1}, waived=_DROPPED),
        Case({"over": "houlsby", "layers_dropped": 1}, waived=_DROPPED | _RANDOM),
        Case(
            {"over": {"lora": {"r": 4}}, "mode": "specialised", "layers_dropped": 2},
            "tiny-llama",
            _PARTIAL,
        ),
    ],
    "houlsby": [
        Case(waived=_RANDOM),
        Case({"init": "zero-up"}, "tiny-gpt2"),
        Case({"layers": "upper-half", "train_layernorm": True}, "tiny-llama", _RANDOM | _PARTIAL),
    ],
    "pfeiffer": [
        Case({"init": "zero-up"}),
        Case({"bottleneck": 3}, "tiny-llama", _RANDOM),
        Case(model="tiny-bart", waived=_RANDOM | _BART),
    ],
    "sparseadapter": [
        Case({"over": {"lora": {"r": 4}}}),
        Case({"over": {"lora": {"r": 4}}, "pruner": "snip", "score_after": 2}, "tiny-gpt2"),
        Case({"over": "houlsby"}, waived=_RANDOM),
        Case({"over": "pfeiffer", "pruner": "grasp", "large": 2}, "tiny-llama", _RANDOM),
        Case({"over": "pfeiffer", "pruner": "er", "keep_ratio": 0.3}, waived=_RANDOM),
        Case({"over": {"lora": {"r": 4, "init": "normal"}}, "pruner": "snip"}, waived=_RANDOM),
    ],
    "sora": [
        Case({"r": 4, "dropout": 0.1, "xi": 0.1}),
        Case({"r": 4, "targets": "qv", "prox": "official", "xi_stages": 3}, "tiny-gpt2"),
        Case({"r": 4, "layers": "upper-half"}, "tiny-llama", _PARTIAL),
        Case({"r": 4, "train_layernorm": True, "layers": "lower-half"}, waived=_PARTIAL),
    ],
    "adalora": [
        Case({"dropout": 0.1, "delta_t": 1}),
        Case({"init_r": 4, "target_r": 2, "targets": "qv"}, "tiny-gpt2"),
    ],
    "loraprune": [
        Case({"r": 4, "dropout": 0.1, **_PRUNES_AT_ONCE}),
        # What is taken out of the base weights is not there any more to be as it was.
        Case(
            {"r": 4, "ratio": 0.7, "compact_at": [0.035], **_PRUNES_AT_ONCE},
            "tiny-deberta-v2",
            frozenset({"training_leaves_the_base_alone"}),
        ),
        Case(
            {"r": 4, "metric": "magnitude", "targets": "attention", **_PRUNES_AT_ONCE}, "tiny-gpt2"
        ),
        Case({"r": 4, "targets": "all-linear", "ratio": 0.8, **_PRUNES_AT_ONCE}, "tiny-llama"),
    ],
    "meft": [
        Case(waived=_STREAMS),
        Case({"design": 2, "reversible": "all", "chunk": 2}, "tiny-gpt2", _STREAMS),
        Case({"design": 3, "reversible": [1, 3], "lam": 0.2}, "tiny-deberta-v2", _STREAMS),
        Case({"dropout": 0.1}, "tiny-bart", _STREAMS | _BART),
    ],
    "peft": [
        Case({"type": "lora", "r": 4, "use_dora": True, "target_modules": "six"}),
        Case({"type": "ADALORA", "tinit": 1, "tfinal": 1, "target_modules": "six"}),
        Case({"type": "ia3"}, "tiny-llama"),
        Case({"type": "p_tuning", "num_virtual_tokens": 3}, waived=_PROMPT),
    ],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hold every method to the contract, or with `--plugin` those of that module alone."""
    if "case" not in metafunc.fixturenames:
        return
    modules = metafunc.config.getoption("--plugin")
    load_plugins(modules, metafunc.config.invocation_params.dir)
    theirs = {name: [Case()] for name in REGISTRY.entries if name not in METHODS}
    metafunc.parametrize(("method", "case"), _cases(theirs if modules else CASES))


def _cases(chosen: Mapping[str, list[Case]]) -> Iterator[Any]:
    for name, cases in chosen.items():
        for case in cases:
            method = get_method(name)(**case.options)
            yield pytest.param(method, case, id=f"{method.label}-{case.model}")


def test_every_method_has_a_case() -> None:
    missing = set(METHODS) - set(CASES)
    assert not missing, f"a line is missing in CASES of {__file__}: {sorted(missing)}"


def test_waived_rules_exist() -> None:
    waived = {rule for cases in CASES.values() for case in cases for rule in case.waived}
    assert waived <= {rule.__name__ for rule in RULES}


def test_contract(method: Method, case: Case) -> None:
    check(method, case)


def _stop(parameter: nn.Parameter) -> None:
    parameter.requires_grad_(False)


def _start(parameter: nn.Parameter) -> None:
    parameter.requires_grad_(True)


class _Broken(Lora):
    """LoRA with one rule broken, chosen by `fault`."""

    name: ClassVar[str] = "broken"
    fault: str

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        handle = super().attach(model, plan)
        if self.fault == "base trains":
            surgery.layers(model)[0].get_parameter("output.dense.bias").requires_grad_(True)
        elif self.fault == "not at base":
            nn.init.ones_(next(p for n, p in handle.adapter.items() if ".lora_B." in n))
        elif self.fault == "head counted":
            handle.adapter = handle.adapter | surgery.head_parameters(model)
        elif self.fault == "units reversed":
            handle.layers = handle.layers[::-1]
        elif self.fault == "values read":
            next(handle.parameters()).sum().item()
        elif self.fault == "no merge":
            handle.finish = lambda model: handle.peft.unload()
        elif self.fault == "count":
            handle.adapter = dict(list(handle.adapter.items())[1:])
        elif self.fault == "freezes in silence":
            handle.on_epoch = lambda epoch, probe: _stop(next(handle.parameters()))
        elif self.fault == "thaws":
            handle.before_forward = lambda step: next(handle.parameters()).requires_grad_(step != 1)
            handle.on_step = lambda step: Change(frozen=(next(handle.parameters()),))
        elif self.fault == "skips the gradient only":
            handle.skip = lambda layers: None
        elif self.fault == "folds nothing":
            handle.fold = lambda layers: surgery.layers(model)[0].requires_grad_(False)
        elif self.fault == "adds in silence":
            other = surgery.layers(model)[0].get_parameter("output.dense.bias")
            handle.on_epoch = lambda epoch, probe: _start(other)
        elif self.fault == "freezes a stranger":
            other = surgery.layers(model)[0].get_parameter("output.dense.bias")
            handle.on_epoch = lambda epoch, probe: Change(frozen=(other,))
        elif self.fault == "stages thaw":
            handle.force = lambda stage: model.requires_grad_(True) and Change()
        return handle


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("base trains", "neither handle.adapter nor head.*output.dense.*bias"),
        ("not at base", "starts at the base model.*bit for bit"),
        ("head counted", "lists the head"),
        ("units reversed", "units go from the lowest layer up"),
        ("values read", "attaches to fake tensors"),
        ("no merge", "finish.. changes the eval output"),
        ("count", "neither handle.adapter nor head.*lora_A"),
        ("freezes in silence", "says what it freezes.*no Change says so.*lora_A"),
        ("thaws", "says what it freezes.*train again"),
        ("adds in silence", "says what it adds.*output.dense.base_layer.bias"),
        ("freezes a stranger", "says what it freezes.*froze a tensor that never trained"),
        ("skips the gradient only", "skipping leaves the base model"),
        ("folds nothing", "folding keeps the function.*leaves tensors"),
        ("stages thaw", "stages can be forced.*lets tensors train"),
    ],
)
def test_a_broken_method_is_told_which_rule(
    fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "broken", f"{__name__}:_Broken")
    with pytest.raises(AssertionError, match=message):
        check(_Broken(r=4, fault=fault), Case())


def test_every_broken_rule_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "broken", f"{__name__}:_Broken")
    with pytest.raises(AssertionError) as told:
        check(_Broken(r=4, fault="count"), Case())
    first, *lines = str(told.value).splitlines()
    assert first == f"method 'broken' breaks 3 of {len(RULES)} rules"
    assert [line.split(":")[0] for line in lines] == [
        "- trains exactly adapter and head", "- counts as its formula says", "- units are layers",
    ]  # fmt: skip
