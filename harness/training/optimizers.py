"""The optimizer of a cell's settings over groups of parameters, or what stands for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UserError
from harness.suite.optimizers import BITSANDBYTES, OPTIMIZERS, TORCHAO, missing_package
from harness.training.hollow_optimizers import HollowBitsandbytes, HollowTorchao
from harness.training.library_optimizers import of_bitsandbytes, of_torchao
from harness.training.muon import MuonAndAdamW
from methods.common.fakes import is_hollow

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from harness.suite.settings import TrainSettings


def build_optimizer(
    groups: list[dict[str, Any]],
    settings: TrainSettings,
    foreach: bool | None,
    embeddings: Collection[int],
    head: Collection[int],
) -> Optimizer:
    """Build the optimizer that the settings name.

    Args:
        groups: of parameters, with rates and decay.
        settings: of the cell.
        foreach: true for tensors without values that stand in for a GPU's; None chooses by the
            device.
        embeddings: ids of embeddings' weights.
        head: ids of what makes a model's outputs.

    Raises:
        UserError: the package that has it is not installed; tensors without values need none.
    """
    if OPTIMIZERS[settings.optimizer].package is None:
        return _of_torch(groups, settings, foreach, {*embeddings, *head})
    if any(is_hollow(p) for group in groups for p in group["params"]):
        return _hollow(groups, settings, bool(foreach), embeddings)
    missing = missing_package(settings.optimizer)
    if missing is not None:
        raise UserError(f"train.optimizer = {settings.optimizer}: {missing}")
    return _of_library(groups, settings, embeddings)


def on_cpu(optimizer: str) -> list[str]:
    """Say what an optimizer does otherwise on the CPU than on a GPU, in sentences."""
    kind = OPTIMIZERS[optimizer]
    if kind.package == TORCHAO:
        return [
            f"{optimizer} steps uncompiled on the CPU, and what it makes for a moment is not in "
            "the peaks"
        ]
    return [f"{optimizer} pages nothing on the CPU: its states are in the peaks"] * kind.paged


def _of_torch(
    groups: list[dict[str, Any]],
    settings: TrainSettings,
    foreach: bool | None,
    outer: Collection[int],
) -> Optimizer:
    if settings.optimizer == "muon":
        adamw = settings.model_copy(update={"optimizer": "adamw"})
        return MuonAndAdamW(groups, outer, lambda own: _of_torch(own, adamw, foreach, ()))
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, foreach=foreach)
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(groups)  # tensor by tensor on every device, by default
    own: dict[str, Any] = {"betas": settings.betas, "eps": settings.eps}
    if settings.optimizer == "adamw-fused":
        return torch.optim.AdamW(groups, fused=True, **own)
    if settings.optimizer == "adamw-plain":
        return torch.optim.AdamW(groups, foreach=False, fused=False, **own)
    if foreach:
        return torch.optim.AdamW(groups, foreach=True, **own)
    # On the CPU torch's default goes over every tensor a dozen times; the fused kernel goes once.
    # On CUDA the default, foreach, stays: its temporaries are part of what people's runs need.
    on_host = all(p.device.type == "cpu" for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, fused=True if on_host else None, **own)


def _hollow(
    groups: list[dict[str, Any]], settings: TrainSettings, gpu: bool, embeddings: Collection[int]
) -> Optimizer:
    kind = OPTIMIZERS[settings.optimizer]
    if kind.package != BITSANDBYTES:
        return HollowTorchao(groups, settings.optimizer.rpartition("-")[2], settings.state_block)
    return HollowBitsandbytes(
        groups, states=kind.states, bits=kind.bits, wide=_wide(settings, embeddings),
        paged=kind.paged and gpu,
    )  # fmt: skip


def _of_library(
    groups: list[dict[str, Any]], settings: TrainSettings, embeddings: Collection[int]
) -> Optimizer:
    name, kind = settings.optimizer, OPTIMIZERS[settings.optimizer]
    own = {key: getattr(settings, key) for key in kind.settings}
    if kind.package != BITSANDBYTES:
        return of_torchao(groups, name.rpartition("-")[2], settings.state_block, own)
    return of_bitsandbytes(
        groups, name.partition("-")[0], kind.bits, kind.paged, own, _wide(settings, embeddings)
    )


def _wide(settings: TrainSettings, embeddings: Collection[int]) -> Collection[int]:
    return embeddings if settings.embedding_states == "fp32" else ()
