"""Attach one of peft's adapters to a model, and read back what it added."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

from methods import surgery
from methods.base import Handle
from methods.common import folding
from methods.common.fakes import workable_fakes

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import Tensor, nn

    from methods.base import Change, Plan


@dataclass(kw_only=True)
class TunerHandle(Handle):
    """A model with peft's adapters in it.

    Attributes:
        peft: peft's view of the model. The loop calls `model`, which was edited in place; only
            for types that need peft's own forward are the two the same.
        merges: whether `finish` folds the adapters into the base weights.
    """

    peft: PeftModel
    merges: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Say what works on these adapters."""
        self.can_skip = any(self.adapters())
        # Importances and ranks of peft's allocators are in no state dict.
        self.resumable = not hasattr(self.peft.base_model, "update_and_allocate")

    def on_step(self, step: int) -> Change | None:
        """Let types with a budget (AdaMSS) spend it; they read this step's gradients."""
        allocate = getattr(self.peft.base_model, "update_and_allocate", None)
        if allocate is not None:
            allocate(step)
        return None

    def finish(self, model: nn.Module) -> nn.Module:
        """Merge the adapters into the base weights and return the plain model."""
        from methods.slices import put_together

        return put_together(self.peft.merge_and_unload())

    def skip(self, layers: Collection[int] | None) -> None:
        """Switch off the adapters of these layers and leave their tensors as they are.

        peft's own switch, `enable_adapters`, also decides what trains.
        """
        for _, adapter, layer in self.adapters():
            adapter._disable_adapters = layers is None or layer in layers

    def prepare_to_fold(self) -> None:
        """Check that every adapter sits on a weight of plain numbers that it has for itself."""
        adapters = list(self.adapters())
        for name, adapter, _ in adapters:
            if adapter.quantization_backend is not None:
                raise ValueError(f"{name} is quantised: merging would round the adapter away")
        folding.refuse_unfoldable(self.model, [name for name, *_ in adapters])

    def fold(self, layers: Collection[int]) -> None:
        """Merge the adapters of these layers into their base layers and take them out."""
        gone = set()
        for name, adapter, layer in list(self.adapters()):
            if layer in layers:
                gone |= {id(tensor) for tensor in chain(adapter.parameters(), adapter.buffers())}
                adapter.merge()
                folding.replace_module(self.model, name, adapter.get_base_layer())
        left = chain(self.model.parameters(), self.model.buffers())
        self.forget(gone - {id(tensor) for tensor in left})  # VeRA's layers share their matrices

    def adapters(self) -> Iterator[tuple[str, Any, int | None]]:
        """Yield (name, peft's layer, transformer layer) of every adapter."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        names = surgery.layer_names(self.model)
        for name, module in self.model.named_modules():
            if isinstance(module, BaseTunerLayer):
                yield name, module, surgery.layer_of(name, names)


def attach_tuner(
    model: nn.Module,
    config: PeftConfig,
    plan: Plan,
    kind: type[TunerHandle] = TunerHandle,
    wrap: bool = False,
    autocast: bool = True,
) -> TunerHandle:
    """Put the adapters of `config` into `model`; exactly they and the head train.

    Args:
        model: edited in place.
        config: with a task type only where peft needs it.
        plan: of the run.
        kind: class of the handle.
        wrap: call peft's forward, not the model's own.
        autocast: adapters of a 16-bit model are float32, as far as peft casts them.

    Raises:
        ValueError: peft's own checks fail, its targets include the head, or nothing trains.
    """
    from peft import get_peft_model

    base = list(chain(model.parameters(), model.buffers()))  # alive, so that no id is used twice
    with workable_fakes(model), _as_named(model, config):
        peft = get_peft_model(model, config, autocast_adapter_dtype=autocast)
    if config.is_prompt_learning:
        name_the_cache_as_peft_does(peft)
    _undo_head_copies(model)
    if new := {id(p) for p in surgery.head_parameters(model).values()} - {id(t) for t in base}:
        raise ValueError(
            f"its targets put {len(new)} adapter tensors on the head, which trains anyway; name "
            "target_modules inside the layers, such as six"
        )
    called = peft if wrap else model
    adapter, buffers = added_tensors(called, base)
    if not adapter:
        raise ValueError("it finds nothing in this model that it could train")
    surgery.train_head(called, plan)
    units = surgery.group_by_layer(called, adapter)
    return kind(model=called, adapter=adapter, layers=units, buffers=buffers, peft=peft)


@contextmanager
def _as_named(model: nn.Module, config: Any) -> Iterator[None]:
    """Keep targets that are the full names of modules as they are.

    For models with experts peft takes names such as `shared_experts.gate_proj` for those of
    transformers 4, and puts adapters on the experts' tensors in their place.
    """
    from peft.utils import transformers_weight_conversion as conversion

    targets = getattr(config, "target_modules", None)
    there = {name for name, _ in model.named_modules()}
    if not targets or isinstance(targets, str) or not there.issuperset(targets):
        yield
        return
    with mock.patch.object(conversion, "convert_peft_config_for_transformers", return_value=None):
        yield


def added_tensors(
    model: nn.Module, base: Sequence[Tensor]
) -> tuple[dict[str, nn.Parameter], dict[str, Tensor]]:
    """Return what trains outside the head, and what is new in the model but does not train."""
    base_ids = {id(tensor) for tensor in base}
    head = surgery.head_parameters(model)
    for name, parameter in model.named_parameters():
        # AdaLoRA's rank counters lose the mark when peft converts them to another dtype.
        if ".ranknum." in name:
            parameter.requires_grad_(False)
    adapter = {n: p for n, p in model.named_parameters() if p.requires_grad and n not in head}
    buffers = {
        name: tensor
        for name, tensor in chain(model.named_parameters(), model.named_buffers())
        if id(tensor) not in base_ids and name not in adapter
    }
    return adapter, buffers


def name_the_cache_as_peft_does(peft: PeftModel) -> None:
    """Let models take keys and values as `past_key_values`, which transformers 5.24 calls `cache`.

    peft 0.21 looks for the old name among a model's arguments before it hands a prefix over.
    """
    names = ("", getattr(peft, "transformer_backbone_name", None) or "")
    for module in {id(m): m for m in map(peft.base_model.get_submodule, names)}.values():
        arguments = signature(module.forward).parameters
        if "cache" in arguments and "past_key_values" not in arguments:
            module.forward = partial(_with_old_name, module)


def _with_old_name(module: nn.Module, *args: Any, past_key_values: Any = None, **rest: Any) -> Any:
    """Call the module's own forward."""
    if past_key_values is not None:
        rest["cache"] = past_key_values
    return type(module).forward(module, *args, **rest)


def _undo_head_copies(model: nn.Module) -> None:
    """Put the head back where peft's classes for a task type train a copy and keep the original.

    The copy has the same values; without it the head has one name and one size for every method.
    """
    from peft.utils import ModulesToSaveWrapper

    for name in surgery.head_names(model):
        child = model.get_submodule(name)
        if isinstance(child, ModulesToSaveWrapper):
            setattr(model, name, child.original_module)
