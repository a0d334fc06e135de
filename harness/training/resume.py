"""What a running loop's checkpoint holds, and how a fresh loop goes on from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.training.optim import apply_change
from methods.base import Change, Resized

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from harness.training.loop import Loop

Saved = dict[str, Any]


def collect(loop: Loop, epoch: int, index: int) -> Saved:
    """Return all that the rest of the run, from step `index` of `epoch` on, depends on."""
    job, state = loop.job, loop.state
    return {
        "epoch": epoch,
        "index": index,
        "result": asdict(loop.result),
        "loss_sum": loop.step.loss_sum,
        "state": {**vars(state), "names": sorted(state.names)},
        "parameters": loop.snapshot(),
        "optimizer": _optimizer_state(loop.optimizer, job.model),
        "schedule": loop.schedule.state_dict(),
        "scaler": loop.step.scaler.state_dict(),
        "handle": job.handle.state_dict(),
        "meter": job.meter.state_dict(),
        "clock": job.clock.state_dict(),
        "random": _random_state(job.device),
    }


def resume(loop: Loop) -> tuple[int, int]:
    """Take up the checkpoint of the loop's job; returns epoch and step in it to go on with.

    The loop is fresh, with the method attached and shown its probe: what the method does to the
    model's structure is done again, then tensors get their values.
    """
    job = loop.job
    saved = job.checkpoints.load() if job.checkpoints else None
    if saved is None:
        return 0, 0
    attached = dict(job.model.named_parameters())
    job.handle.load_state_dict(saved["handle"])  # may take modules out of the model, or shrink them
    now = dict(job.model.named_parameters())
    resized = tuple(
        Resized(old, now[name]) for name, old in attached.items() if now.get(name, old) is not old
    )
    loop.note_change(Change(resized=resized))
    apply_change(loop.optimizer, Change(resized=resized))
    attached |= now
    frozen = tuple(attached[name] for name in saved["state"]["frozen"])
    apply_change(loop.optimizer, Change(frozen=frozen))
    del attached, now, resized, frozen
    for name, value in saved["result"].items():
        setattr(loop.result, name, value)
    loop.result.resumed_at.append(loop.result.steps)
    for name, value in saved["state"].items():
        setattr(loop.state, name, value)
    loop.state.names = set(loop.state.names)
    loop.restore(saved["parameters"])
    _restore_optimizer(saved["optimizer"], loop.optimizer, job.model)
    loop.schedule.load_state_dict(saved["schedule"])
    loop.step.scaler.load_state_dict(saved["scaler"])
    loop.step.loss_sum.copy_(saved["loss_sum"])
    loop.trainable = loop.count_trainable()
    job.meter.load_state_dict(saved["meter"])
    job.clock.load_state_dict(saved["clock"])
    _restore_random_state(saved["random"], job.device)
    return saved["epoch"], saved["index"]


def _random_state(device: torch.device) -> Saved:
    """Return the state of torch's random generators."""
    state: Saved = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _restore_random_state(state: Saved, device: torch.device) -> None:
    """Set torch's random generators to a state."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def _optimizer_state(optimizer: Optimizer, model: nn.Module) -> Saved:
    """Return the optimizer's tensors by parameter name, and its groups' settings."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        "tensors": {names[id(p)]: dict(found) for p, found in optimizer.state.items() if found},
        "groups": [
            {key: value for key, value in group.items() if key != "params"}
            for group in optimizer.param_groups
        ],
    }


def _restore_optimizer(state: Saved, optimizer: Optimizer, model: nn.Module) -> None:
    """Put tensors and settings back; the groups hold the same parameters as when saved."""
    named = dict(model.named_parameters())
    for name, found in state["tensors"].items():
        parameter = named[name]
        optimizer.state[parameter] = {
            key: value if key == "step" or not isinstance(value, Tensor)
            else value.to(parameter.device)
            for key, value in found.items()
        }  # fmt: skip
    for group, saved in zip(optimizer.param_groups, state["groups"], strict=True):
        group.update(saved)
