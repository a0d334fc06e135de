"""The state of a run: changes of every kind, and storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tiny
import torch
from cells import RESUMED, EndsAfter, cell_of, report, run, same, setup_of
from torch import Tensor, nn

from harness.errors import UserError
from harness.record import PhaseMemory
from harness.suite.settings import TrainSettings
from harness.training.attach import remarks_on
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted, Loop
from methods import METHODS, Change, Handle, Method, Plan, surgery

JOIN, LEAVE = 4, 4  # the step after which tensors join, the epoch after which they freeze


@dataclass(kw_only=True)
class GuestHandle(Handle):
    """Lower layers' biases begin to train on the way, and later freeze."""

    guests: dict[str, nn.Parameter] = field(default_factory=dict)
    joined: bool = False

    def on_step(self, step: int) -> Change | None:
        return self._join() if step == JOIN else None

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        return Change(frozen=tuple(self.guests.values())) if epoch == LEAVE else None

    def state_dict(self) -> dict[str, Any]:
        return {"joined": self.joined}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["joined"]:
            self._join()

    def _join(self) -> Change:
        self.joined = True
        self.adapter |= self.guests
        self.layers = surgery.group_by_layer(self.model, self.adapter)
        return Change(added=tuple(self.guests.values()))


class Guests(Method):
    """Biases of the upper layers train, those of the lower ones for a while."""

    name: ClassVar[str] = "guests"

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        surgery.freeze_base(model, plan)
        names = surgery.layer_names(model)
        chosen: tuple[dict[str, nn.Parameter], ...] = ({}, {})
        for name, parameter in model.named_parameters():
            layer = surgery.layer_of(name, names)
            if layer is not None and name.endswith("dense.bias"):
                chosen[layer >= 2][name] = parameter
        for parameter in chosen[1].values():
            parameter.requires_grad_(True)
        layers = surgery.group_by_layer(model, chosen[1])
        return GuestHandle(model=model, adapter=chosen[1], layers=layers, guests=chosen[0])


@dataclass(kw_only=True)
class PasserHandle(GuestHandle):
    """The guest is a tensor that the model did not have, and is gone when it has frozen."""

    gone: bool = False

    def on_epoch(self, epoch: int, probe: Iterable[Mapping[str, Tensor]]) -> Change | None:
        if epoch != LEAVE:
            return None
        change = Change(frozen=tuple(self.guests.values()))
        self._part()
        return change

    def state_dict(self) -> dict[str, Any]:
        return {"joined": self.joined, "gone": self.gone}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["joined"]:
            self._join()
        if state["gone"]:
            self._part()

    def _join(self) -> Change:
        layer = surgery.layers(self.model)[0]
        extra = nn.Parameter(torch.zeros_like(layer.get_parameter("output.dense.bias")))
        layer.output.register_parameter("extra", extra)
        layer.output.register_forward_hook(
            lambda module, _, out: out + module.extra if hasattr(module, "extra") else out
        )
        self.guests = {"bert.encoder.layer.0.output.extra": extra}
        return super()._join()

    def _part(self) -> None:
        self.gone = True
        del surgery.layers(self.model)[0].output.extra
        self.adapter = {n: p for n, p in self.adapter.items() if n not in self.guests}
        self.layers = surgery.group_by_layer(self.model, self.adapter)


class Passers(Guests):
    """Biases of the upper layers train, and for a while a tensor of the method's own."""

    name: ClassVar[str] = "passers"

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        handle = super().attach(model, plan)
        return PasserHandle(model=model, adapter=handle.adapter, layers=handle.layers)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "guests", f"{__name__}:Guests")
    monkeypatch.setitem(METHODS, "passers", f"{__name__}:Passers")


def test_added_tensors_train_in_their_own_group_and_may_freeze_later(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, "guests", *RESUMED))
    guests = setup.handle.guests  # type: ignore[attr-defined]
    name = next(iter(guests))
    seen: dict[int, Tensor] = {}
    real = setup.handle.on_gradients

    def look(step: int) -> Change | None:
        seen[step] = guests[name].detach().clone()
        return real(step)

    setup.handle.on_gradients = look  # type: ignore[method-assign]
    Loop(setup).run()
    state = setup.state
    assert torch.equal(seen[0], seen[JOIN + 1]), "it trains from the next step on"
    assert not torch.equal(seen[JOIN + 1], seen[JOIN + 2])
    assert torch.equal(seen[15], guests[name]), "frozen after the fifth epoch"
    assert set(state.added) == set(guests) == set(state.frozen)
    frozen = {name: step for name, step in state.freezing().items() if step is not None}
    assert frozen == dict.fromkeys(guests, 15)
    assert not any(p.requires_grad for p in guests.values())
    held = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    assert not held & {id(p) for p in guests.values()}
    own = sum(p.numel() for p in setup.handle.parameters()) - sum(
        p.numel() for p in guests.values()
    )
    with_guests = sum(p.numel() for p in setup.handle.parameters())
    joined = 15 - (JOIN + 1)
    assert state.result.trainable_sum == (24 - joined) * own + joined * with_guests
    phases: list[PhaseMemory] = report(setup).phases
    assert [phase.first_step for phase in phases] == [0, JOIN + 1, 15]
    assert [phase.shallowest_live_layer for phase in phases] == [2, 0, 2]


def test_an_added_bias_does_not_decay_and_a_weight_does(tmp_path: Path) -> None:
    state = setup_of(cell_of(tmp_path, "guests", "train.weight_decay=0.1")).state
    layer = "bert.encoder.layer.0.output"
    bias, weight = (state.model.get_parameter(f"{layer}.dense.{k}") for k in ("bias", "weight"))
    norm = state.model.get_parameter(f"{layer}.LayerNorm.weight")
    state.apply(Change(added=(bias, weight, norm)))
    decay = {
        id(p): group["weight_decay"]
        for group in state.optimizer.param_groups
        for p in group["params"]
    }
    assert [decay[id(p)] for p in (bias, weight, norm)] == [0.0, 0.1, 0.0]


@pytest.mark.parametrize("stop", [3, 5, 6, 14, 15, 16, 20])
@pytest.mark.parametrize("method", ["guests", "passers"])
def test_a_run_that_adds_resumes_with_the_same_bytes(
    tmp_path: Path, stop: int, method: str
) -> None:
    cell = cell_of(tmp_path, method, *RESUMED)
    whole = run(cell)
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", stop))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [stop]
    same(again, whole)


def test_what_never_trained_cannot_freeze(tmp_path: Path) -> None:
    state = setup_of(cell_of(tmp_path, "guests")).state
    stranger = state.model.get_parameter("bert.encoder.layer.0.output.dense.weight")
    with pytest.raises(ValueError, match="froze a tensor that never trained"):
        state.apply(Change(frozen=(stranger,)))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_groups_may_be_empty(tmp_path: Path, optimizer: str) -> None:
    """All four groups are there from the start; of BitFit only biases train."""
    setup = run(cell_of(tmp_path, "bitfit", f"train.optimizer={optimizer}", "train.max_steps=3"))
    sizes = [len(group["params"]) for group in setup.state.optimizer.param_groups]
    assert len(sizes) == 4
    assert sizes[0] == 0


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("{family: classification, target_length: 9}", "shape.target_length = 9"),
        ("{family: causal_lm, num_labels: 77}", "shape.num_labels = 77"),
        ("{family: regression, num_labels: 3}", "shape.num_labels = 3"),
        ("{family: image, mask: false}", "shape.mask = False"),
        ("{family: image, lengths: [3, 4]}", "shape.lengths = (3, 4)"),
        ("{family: image, length: 3}", "shape.length = 3"),
        ("{family: image, mask: true}", "shape.mask = True"),
        ("{family: causal_lm, num_labels: 2}", "shape.num_labels = 2"),
    ],
)
def test_a_shape_says_only_what_its_family_has(tmp_path: Path, shape: str, said: str) -> None:
    with pytest.raises(UserError) as told:
        cell_of(tmp_path, "lora", f"tasks=[{{shape: {shape}}}]")
    assert f"{said} means nothing for the family" in str(told.value)


def test_an_optimizers_own_setting_is_refused_beside_another(tmp_path: Path) -> None:
    """Nor is it refused in a layer that leaves it to another one which optimizer there is."""
    rule = "rules=[{tasks: ['*'], train: {momentum: 0.0}}]"
    assert cell_of(tmp_path, "lora", rule, "train.optimizer=sgd").train.momentum == 0
    with pytest.raises(UserError, match=r"train.momentum = 0.0 is sgd's, and optimizer is adamw"):
        cell_of(tmp_path, "lora", rule)


def test_label_smoothing_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    for family in ("regression",):
        shape = f"tasks=[{{shape: {{family: {family}, length: 16}}}}]"
        with pytest.raises(UserError, match=rf"label_smoothing = 0.1: the family {family} has no"):
            cell_of(tmp_path, "lora", shape, "train.label_smoothing=0.1")


def test_a_decoder_without_its_encoder_is_told() -> None:
    said = "the encoder is absent: causal_lm is the decoder of this bart model alone"
    for family, wanted in (("causal_lm", [said]), ("seq2seq", [])):
        assert (
            remarks_on(Guests(), tiny.build("tiny-bart", family), TrainSettings(), None) == wanted
        )


@pytest.mark.parametrize(("config", "said"), [("tiny-bert", 0), ("tiny-gpt2", 1)])
def test_a_pooler_that_is_not_there_is_told(config: str, said: int) -> None:
    model = tiny.build(config)
    settings = TrainSettings(train_pooler=True)
    remarks = remarks_on(Guests(), model, settings, None)
    assert sum("train_pooler changes nothing" in each for each in remarks) == said
    assert not remarks_on(Guests(), model, TrainSettings(), None)
