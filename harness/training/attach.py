"""A method on a model, and all that trains it: put together in this one place.

The loop, the simulation, a step on a real GPU and the benchmarks differ in where the model and the
batches come from, and in nothing that is done here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from harness.tasks.families.packing import refuse_unpackable
from harness.training.liger import use_kernels
from harness.training.losses import use_loss
from harness.training.optim import make_optimizer
from harness.training.optimizers import on_cpu
from harness.training.precision import set_types
from harness.training.state import TrainState
from methods import quantized, surgery
from methods.common.fakes import is_hollow

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Family
    from harness.training.replica import Replica
    from methods.base import Handle, Method, Plan, Stage


class Attached(NamedTuple):
    """A method on a model, and the parameters of head and pooler that train."""

    handle: Handle
    head: list[nn.Parameter]


def remarks_on(
    method: Method, model: nn.Module, settings: TrainSettings, plan: Plan | None
) -> list[str]:
    """Say what options and settings mean on this model beyond their names, in sentences.

    Args:
        method: attached or not.
        model: as loaded, or edited by the method.
        settings: of the cell.
        plan: of the run; a forecast does not know it.
    """
    said = [*method.remarks(model, plan), *quantized.remarks(model)]
    if settings.train_pooler and not surgery.pooler_parameters(model):
        said.append("train_pooler changes nothing: this model has no pooler")
    _, transformer = surgery.transformer_of(model)
    config = transformer.config
    # Of an encoder-decoder transformers' classes for causal language models build one half.
    whole = getattr(type(config), "is_encoder_decoder", False)
    if whole and type(transformer).__name__.endswith("ForCausalLM"):
        said.append(
            "the encoder is absent: causal_lm is the decoder of this "
            f"{config.model_type} model alone"
        )
    parameter = next(model.parameters())
    if parameter.device.type == "cpu" and not is_hollow(parameter):
        said += on_cpu(settings.optimizer)
    return said


def build_step(
    model: nn.Module,
    method: Method,
    plan: Plan,
    settings: TrainSettings,
    device: torch.device,
    family: Family,
    *,
    stage: Stage | None = None,
    foreach: bool | None = None,
    replica: Callable[[nn.Module], Replica] | None = None,
) -> TrainState:
    """Attach the method and build optimizer and step; their state is that before the first step.

    Args:
        model: in training mode; edited in place.
        method: what to attach.
        plan: of the run.
        settings: of the cell.
        device: where everything goes.
        family: of the task.
        stage: of the method, to be forced; None: the one it starts in.
        foreach: make torch's multi-tensor kernels explicit, for fake tensors that stand in for a
            GPU's; None lets torch choose.
        replica: makes one of several ranks' copy of the model; None: there is one rank.

    Raises:
        ValueError: the method does not fit the model, the plan or the settings.
    """
    for why in (*settings.early(), *_obstacles(method, settings)):
        raise ValueError(why)
    if settings.devices > 1 and replica is None:
        raise ValueError(f"devices = {settings.devices}: this is one process")
    handle, head = attach(model, method, plan, settings, device)
    optimizer = make_optimizer(handle.model, head, settings, foreach, handle.undecayed)
    copy = replica(handle.model) if replica is not None and settings.devices > 1 else None
    state = TrainState(handle, head, optimizer, settings, device, family, foreach, copy)
    if stage is not None:
        state.apply(handle.force(stage))
    return state


def _obstacles(method: Method, settings: TrainSettings) -> list[str]:
    """Say why the method does not go with settings that ask something of it."""
    asked = {"in_backward": settings.optimizer_in_backward, "parallel": settings.devices > 1}
    return [why for need, why in method.obstacles().items() if asked.get(need)]


def attach(
    model: nn.Module, method: Method, plan: Plan, settings: TrainSettings, device: torch.device
) -> Attached:
    """Attach the method, with what precision and checkpointing ask of the model around it."""
    if settings.liger_kernels:
        use_kernels(model, settings.liger_kernels)
    _move(model, device)  # whatever the method makes beside the model's tensors is there, too
    handle = method.attach(model, plan)
    surgery.refuse_trained(handle.model)
    adapter = {id(parameter) for parameter in handle.parameters()}
    named = {**surgery.head_parameters(handle.model), **surgery.pooler_parameters(handle.model)}
    head = [p for p in named.values() if p.requires_grad and id(p) not in adapter]
    set_types(handle.model, handle, head, settings.dtypes)
    _move(handle.model, device)
    if settings.gradient_checkpointing:
        _enable_checkpointing(model, reentrant=settings.gradient_checkpointing == "reentrant")
    use_loss(handle.model, settings)
    if settings.padding == "packed":
        refuse_unpackable(handle.model)
    return Attached(handle, head)


def _move(model: nn.Module, device: torch.device) -> None:
    # Fake parameters cannot be moved, and need not: they were made on the device.
    if any(p.device.type != device.type for p in model.parameters()):
        model.to(device)


def _enable_checkpointing(model: Any, *, reentrant: bool) -> None:
    """Recompute layers in backward.

    The reentrant kind back-propagates only through layers whose input requires a gradient, so the
    embeddings' output is made to: a frozen prefix saves nothing then. transformers does so for the
    other kind, too, which does not need it.
    """
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    if getattr(model, "_require_grads_hook", None) is not None:
        model.disable_input_require_grads()
    if reentrant:
        model.enable_input_require_grads()
