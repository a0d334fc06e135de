"""The rules that the training loop relies on; methods/test_contract.py holds methods to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load, save
from tiny import batch, build, logits
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.export import Recipe, write
from harness.export import load as load_export
from harness.metering.watch import NoWatch
from harness.record import ExportKind
from harness.suite.settings import TrainSettings
from harness.tasks.families import get_family
from harness.training.optim import make_optimizer
from harness.training.state import TrainState
from methods import Change, Handle, Method, Plan, surgery

PLAN = Plan(num_steps=60, steps_per_epoch=5, num_epochs=12, seed=3)
LABELS = torch.tensor([0, 2])
SETTINGS = TrainSettings(optimizer="sgd", lr=0.1, clip=None)


@dataclass(frozen=True)
class Case:
    """One configuration of a method on one tiny model.

    Attributes:
        options: of the method.
        model: name in the catalogue.
        waived: rules that cannot hold for this method by its nature.
    """

    options: dict[str, Any] = field(default_factory=dict)
    model: str = "tiny-bert"
    waived: frozenset[str] = frozenset()


class Run:
    """What a rule may look at: a fresh model, the same model with the method attached."""

    def __init__(self, method: Method, case: Case) -> None:
        self.method = method
        self.case = case

    def base(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        return build(self.case.model, labels=3, dtype=dtype, seed=1)

    def attached(self, plan: Plan = PLAN, dtype: torch.dtype = torch.float32) -> Handle:
        model = self.base(dtype)
        torch.manual_seed(7)
        return self.method.attach(model, plan)


class _Account(TrainState):
    """The state of a run, which also notes every change."""

    def __init__(self, handle: Handle) -> None:
        device, family = torch.device("cpu"), get_family("classification")
        optimizer = make_optimizer(handle.model, [], SETTINGS, undecayed=handle.undecayed)
        super().__init__(handle, [], optimizer, SETTINGS, device, family)
        self.changes: list[Change] = []

    def apply(self, change: Change | None) -> None:
        super().apply(change)
        self.changes += [change] if change else []


def train(
    handle: Handle, steps: int = 3, look: Callable[[list[Change]], None] = lambda changes: None
) -> list[Change]:
    """Run the steps of a real run, one an epoch, with SGD that moves every tensor.

    Returns the changes that the method announced; `look` sees those so far in every step.
    """
    handle.model.train()
    state = _Account(handle)
    probe = [{**batch(), "labels": LABELS}] if handle.num_probe else []
    state.apply(handle.on_start(probe))
    for step in range(steps):
        state.step.run(step, [{**batch(), "labels": LABELS}], [1.0], _Looks(state, look))
        state.apply(handle.on_epoch(step, probe))
    return state.changes


class _Looks(NoWatch):
    """Looks when the gradients are there, before the method hears of them."""

    def __init__(self, state: _Account, look: Callable[[list[Change]], None]) -> None:
        self._state, self._look = state, look

    def mark(self, name: str) -> None:
        if name == "optimizer":
            self._look(self._state.changes)


def last_hidden(model: nn.Module) -> Tensor:
    """Return what the last layer puts out in eval mode: the model without its head."""
    found: list[Tensor] = []

    def see(_module: nn.Module, _inputs: Any, out: Any) -> None:
        found.append(out[0] if isinstance(out, tuple) else out)

    hook = surgery.layers(model)[-1].register_forward_hook(see)
    logits(model)
    hook.remove()
    return found[0]


def digest(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def trainable(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


# -- the rules -----------------------------------------------------------------------------------


def starts_at_the_base_model(run: Run) -> None:
    before, after = logits(run.base()), logits(run.attached().model)
    assert torch.equal(before, after), (
        "attach changed the model's output: in eval mode a fresh adapter must leave every logit "
        f"bit for bit as it was (largest difference {(before - after).abs().max():.1e})"
    )


def trains_exactly_adapter_and_head(run: Run) -> None:
    for pooler in (False, True):
        handle = run.attached(Plan(60, 5, 12, train_pooler=pooler))
        head = set(surgery.head_parameters(handle.model))
        allowed = head | (set(surgery.pooler_parameters(handle.model)) if pooler else set())
        found = trainable(handle.model)
        extra, missing = found - allowed - set(handle.adapter), allowed - found
        assert not extra, f"these train but are in neither handle.adapter nor head: {sorted(extra)}"
        assert not missing, f"head or pooler does not train: {sorted(missing)}; see freeze_base"
        stuck = {name for name, p in handle.adapter.items() if not p.requires_grad}
        assert not stuck, f"handle.adapter lists tensors that do not train: {sorted(stuck)}"


def adapter_excludes_the_head(run: Run) -> None:
    handle = run.attached()
    names = dict(handle.model.named_parameters())
    for name, parameter in handle.adapter.items():
        assert names.get(name) is parameter, f"handle.adapter[{name!r}] is not the model's tensor"
    shared = set(handle.adapter) & set(surgery.head_parameters(handle.model))
    assert not shared, f"handle.adapter lists the head, which is not counted: {sorted(shared)}"
    ids = [id(p) for p in handle.parameters()]
    assert len(ids) == len(set(ids)), "handle.adapter lists a shared tensor twice"


def every_adapter_tensor_gets_a_gradient(run: Run) -> None:
    handle = run.attached()
    handle.model.train()
    handle.before_forward(0)
    handle.model(**batch(), labels=LABELS).loss.backward()
    without = sorted(name for name, p in handle.adapter.items() if p.grad is None)
    assert not without, f"the loss does not reach these adapter tensors: {without}"


def training_leaves_the_base_alone(run: Run) -> None:
    handle = run.attached()
    before = {name: digest(t) for name, t in handle.model.state_dict(keep_vars=True).items()}
    start = {name: digest(p) for name, p in handle.adapter.items()}
    moving = trainable(handle.model)
    train(handle)
    after = {name: digest(t) for name, t in handle.model.state_dict(keep_vars=True).items()}
    moved = {name for name in before if after[name] != before[name]} - moving
    # What the method stores for itself may change; what it found may not.
    moved -= set(handle.overhead())
    assert not moved, f"training changed tensors that do not train: {sorted(moved)}"
    still = all(digest(p) == start[name] for name, p in handle.adapter.items())
    assert not still, "three optimizer steps changed no adapter tensor"


def counts_as_its_formula_says(run: Run) -> None:
    handle = run.attached()
    expected = run.method.expected_count(run.base())
    found = sum(p.numel() for p in handle.parameters())
    assert expected in (None, found), f"expected_count is {expected}, handle.adapter has {found}"


def units_are_layers(run: Run) -> None:
    handle = run.attached()
    units, names = handle.units(), surgery.layer_names(handle.model)
    assert len(units) in (0, len(names)), (
        f"units() has {len(units)} entries for {len(names)} layers: one list per layer, empty "
        "where the method puts nothing, or no list at all"
    )
    where = {id(p): name for name, p in handle.adapter.items()}
    seen: set[int] = set()
    inputs = set(surgery.input_parameters(handle.model))
    for index, unit in enumerate(units):
        for parameter in unit:
            assert id(parameter) in where, f"unit {index} has a tensor that is not in adapter"
            name = where[id(parameter)]
            assert id(parameter) not in seen, f"{name} is in two units"
            seen.add(id(parameter))
            layer = 0 if name in inputs else surgery.layer_of(name, names)
            assert layer == index, f"unit {index} has {name}: units go from the lowest layer up"


def every_layer_has_a_unit(run: Run) -> None:
    empty = [index for index, unit in enumerate(run.attached().units()) if not unit]
    assert run.attached().units(), "units() is empty, so nothing of this method can be frozen"
    assert not empty, f"layers without adapter tensors: {empty}"


def stored_tensors_do_not_train(run: Run) -> None:
    handle = run.attached()
    for name, tensor in handle.overhead().items():
        assert not tensor.requires_grad, f"overhead() lists {name}, which trains"
    both = set(handle.overhead()) & set(handle.adapter)
    assert not both, f"in adapter and in overhead: {sorted(both)}"


def attaches_to_fake_tensors(run: Run) -> None:
    real = {name: p.shape for name, p in run.attached().adapter.items()}
    with FakeTensorMode():
        fake = {name: p.shape for name, p in run.attached().adapter.items()}
    assert fake == real, "on fake tensors the method attaches other adapter tensors"


def follows_the_model_to_its_device(run: Run) -> None:
    handle = run.method.attach(run.base().to("meta"), PLAN)
    handle.model.to("meta")
    tensors = {**handle.adapter, **handle.overhead()}
    elsewhere = sorted(name for name, tensor in tensors.items() if not tensor.is_meta)
    assert not elsewhere, f"made on the CPU for a model that is on another device: {elsewhere}"


def trains_on_fake_tensors(run: Run) -> None:
    with FakeTensorMode():
        handle = run.attached()
        handle.model.train()
        handle.model(**batch(), labels=torch.zeros(2, dtype=torch.long)).loss.backward()
        grads = [name for name, p in handle.adapter.items() if p.grad is None]
        assert not grads, f"on fake tensors no gradient reaches {grads}"


def looks_at_fake_tensors(run: Run) -> None:
    with FakeTensorMode():
        handle = run.attached()
        probe = [{**batch(), "labels": torch.zeros(2, dtype=torch.long)}] * (handle.num_probe > 0)
        trains = [name for name, p in handle.model.named_parameters() if p.requires_grad]
        handle.look(probe)
    after = [name for name, p in handle.model.named_parameters() if p.requires_grad]
    assert trains == after, "look() decides what trains: it is for the forecast, which only looks"
    left = [name for name, p in handle.model.named_parameters() if p.grad is not None]
    assert not left, f"look() leaves gradients behind: {left}"


def keeps_the_adapter_in_float32(run: Run) -> None:
    base = dict(run.base().named_parameters())
    full, half = run.attached(), run.attached(dtype=torch.bfloat16)
    assert list(half.adapter) == list(full.adapter), "over a bf16 base other tensors train"
    low = [n for n, p in half.adapter.items() if n not in base and p.dtype != torch.float32]
    assert not low, f"adapter tensors in half precision lose small updates: {low}"
    assert logits(half.model).isfinite().all(), "the forward pass over a bf16 base is not finite"


def repeats_with_the_seed(run: Run) -> None:
    first, second = run.attached(), run.attached()
    tensors = {**second.adapter, **second.overhead()}
    for name, tensor in {**first.adapter, **first.overhead()}.items():
        assert torch.equal(tensor, tensors[name]), f"{name} differs at the same seed"


def state_survives_storage(run: Run) -> None:
    handle = run.attached()
    train(handle, steps=2)
    state = handle.state_dict()
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    rest = {key: value for key, value in state.items() if key not in tensors}
    try:
        stored = {**load(save(tensors)), **json.loads(json.dumps(rest))}
    except TypeError as error:
        raise AssertionError(f"state_dict() must hold tensors and JSON values: {error}") from None
    fresh = run.attached()
    fresh.load_state_dict(stored)
    again = fresh.state_dict()
    assert set(again) == set(state), "load_state_dict forgets parts of state_dict"
    for key, value in state.items():
        same = torch.equal(value, again[key]) if key in tensors else value == again[key]
        assert same, f"load_state_dict does not restore {key!r}"


def finish_keeps_the_function(run: Run) -> None:
    handle = run.attached()
    train(handle)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(torch.randn_like(parameter))  # far from where nothing is to merge
    handle.evaluating(on=True)
    before = logits(handle.model)
    assert (before - logits(run.base())).abs().max() > 1e-3, "large adapters change no output"
    after = logits(handle.finish(handle.model))
    worst = (before - after).abs().max().item()
    assert worst <= 1e-5, f"finish() changes the eval output by {worst:.1e}, more than 1e-5"


def says_what_it_freezes(run: Run) -> None:
    handle = run.attached()
    began = {name: p for name, p in handle.model.named_parameters() if p.requires_grad}

    def look(changes: list[Change]) -> None:
        told = {id(p) for change in changes for p in change.frozen}
        silent = sorted(n for n, p in began.items() if not p.requires_grad and id(p) not in told)
        assert not silent, f"these stopped to train and no Change says so: {silent}"
        thawed = sorted(n for n, p in began.items() if p.requires_grad and id(p) in told)
        assert not thawed, f"these froze and train again: {thawed}"

    look(train(handle, steps=11, look=look))


def says_what_it_adds(run: Run) -> None:
    handle = run.attached()
    known = {id(p) for p in handle.model.parameters() if p.requires_grad}

    def look(changes: list[Change]) -> None:
        added = {id(p) for change in changes for p in change.added}
        told = known | added | {id(r.new) for change in changes for r in change.resized}
        names = {n: p for n, p in handle.model.named_parameters() if p.requires_grad}
        silent = sorted(n for n, p in names.items() if id(p) not in told)
        assert not silent, f"these began to train and no Change says so: {silent}"
        mine = {id(p) for p in handle.parameters()}
        unlisted = sorted(n for n, p in names.items() if id(p) in added - mine)
        assert not unlisted, f"a Change adds these, and handle.adapter does not: {unlisted}"

    look(train(handle, steps=11, look=look))


def stages_can_be_forced(run: Run) -> None:
    stages = run.method.stages(PLAN)
    assert stages, "stages() is empty: there is at least the one it starts in"
    last = -1
    for stage in stages:
        handle = run.attached()
        train_before = trainable(handle.model)
        change = handle.force(stage)
        names = {id(p): name for name, p in handle.adapter.items()}
        for parameter in change.frozen:
            parameter.requires_grad_(False)
            assert id(parameter) in names or change.reshaped, f"{stage.name}: not an adapter tensor"
        assert trainable(handle.model) <= train_before, f"{stage.name}: force() lets tensors train"
        frozen = sum(p.numel() for p in change.frozen)
        assert frozen >= last, f"{stage.name}: freezes less than the stage before"
        last = frozen
        loss = handle.model(**batch(), labels=LABELS).loss
        assert loss.isfinite(), f"{stage.name}: the forward pass is not finite"


def skipping_leaves_the_base_model(run: Run) -> None:
    handle = run.attached()
    try:
        handle.prepare_to_skip()
    except ValueError:
        return  # it says that it cannot
    before, labels = last_hidden(run.base()), handle.units()
    train(handle, steps=2)
    moved = last_hidden(handle.model)
    assert not torch.equal(moved, before), "two steps changed nothing, so there is nothing to skip"
    handle.skip(None)
    worst = (last_hidden(handle.model) - before).abs().max().item()
    assert worst <= 1e-6, f"skip(None) is not the base model: {worst:.1e} apart"
    handle.skip(range(len(labels)))
    assert all(p.requires_grad for p in handle.parameters()), "skip() changes what trains"
    handle.skip(())
    assert torch.equal(last_hidden(handle.model), moved), "skip(()) does not bring all back"


def folding_keeps_the_function(run: Run) -> None:
    handle = run.attached()
    try:
        handle.prepare_to_fold()
    except ValueError:
        return  # it says that it cannot
    train(handle, steps=2)
    before = logits(handle.model)
    half = [i for i, unit in enumerate(handle.units()) if unit][::2]
    gone = {id(p) for i in half for p in handle.units()[i]}
    handle.fold(half)
    worst = (logits(handle.model) - before).abs().max().item()
    assert worst <= 1e-5, f"fold() changes the eval output by {worst:.1e}, more than 1e-5"
    left = {id(p) for p in (*handle.parameters(), *handle.model.parameters())}
    assert not gone & left, "fold() leaves tensors of folded adapters in adapter or in the model"


def label_is_a_path_part(run: Run) -> None:
    label = run.method.label
    assert label, "label is empty"
    assert not set(label) & set("/\\: *?\"'<>|"), f"label {label!r} is no valid part of a path"


def options_survive_a_record(run: Run) -> None:
    stored = json.loads(json.dumps(run.method.model_dump(mode="json")))
    assert type(run.method)(**stored) == run.method, "the options do not survive JSON"


def exports_reload(run: Run) -> None:
    handle = run.attached()
    trained = trainable(handle.model)
    train(handle)
    handle.compact()
    handle.evaluating(on=True)
    before = logits(handle.model)
    recipe = Recipe({}, {}, "fp32", run.method.name, run.method.model_dump(mode="json"), vars(PLAN))
    kinds: tuple[ExportKind, ...] = ("adapter", "model")  # the second one finishes it
    with TemporaryDirectory() as folder:
        for kind, seed in zip(kinds, (1, 2), strict=True):
            written = write(Path(folder) / kind, kind, recipe, handle, trained, run.base)
            assert written.num_bytes > 0
            # Onto the same base model; the whole model needs but its structure.
            base = build(run.case.model, labels=3, dtype=torch.float32, seed=seed)
            worst = (logits(load_export(Path(folder) / kind, base)) - before).abs().max().item()
            assert worst <= 1e-5, f"the reloaded {kind} is another function: {worst:.1e} apart"


RULES: list[Callable[[Run], None]] = [
    starts_at_the_base_model,
    trains_exactly_adapter_and_head,
    adapter_excludes_the_head,
    every_adapter_tensor_gets_a_gradient,
    training_leaves_the_base_alone,
    counts_as_its_formula_says,
    units_are_layers,
    every_layer_has_a_unit,
    stored_tensors_do_not_train,
    attaches_to_fake_tensors,
    follows_the_model_to_its_device,
    trains_on_fake_tensors,
    looks_at_fake_tensors,
    keeps_the_adapter_in_float32,
    repeats_with_the_seed,
    state_survives_storage,
    finish_keeps_the_function,
    says_what_it_freezes,
    says_what_it_adds,
    stages_can_be_forced,
    skipping_leaves_the_base_model,
    folding_keeps_the_function,
    label_is_a_path_part,
    options_survive_a_record,
    exports_reload,
]


def check(method: Method, case: Case) -> None:
    """Run every rule that is not waived; the message has a line for each broken one."""
    broken: dict[str, Exception] = {}
    for rule in RULES:
        if rule.__name__ in case.waived:
            continue
        try:
            rule(Run(method, case))
        except Exception as error:
            broken[rule.__name__.replace("_", " ")] = error
    if broken:
        lines = [
            f"- {name}: {str(error) if isinstance(error, AssertionError) else repr(error)}"
            for name, error in broken.items()
        ]
        text = "\n".join(
            [f"method {method.name!r} breaks {len(broken)} of {len(RULES)} rules", *lines]
        )
        raise AssertionError(text) from next(iter(broken.values()))
