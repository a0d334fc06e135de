"""What peft's types look like on weights without values.

Most types read shapes alone. For those that take their structure from the weights' values the
config gives it, and those that compute with sparse matrices get stand-ins (sparse.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from torch import Tensor, nn

ASSUMED = "AdaMSS clusters the rows of a weight; a forecast makes its clusters equally large"
RANKS = "use_dynamic_rank finds ranks from the weights; a forecast takes the largest, subspace_rank"
STARTS = "init_lora_weights {!r} computes with the weights; a forecast has its shapes alone"
# Values of init_lora_weights, and the functions of peft's layers that decompose a weight for them.
FROM_WEIGHTS = re.compile(r"pissa(_niter_\d+)?|olora|loftq|mica")
DECOMPOSE = ("pissa_init", "olora_init", "loftq_init", "mica_init")


def assumptions(kind: str, options: dict[str, Any]) -> list[str]:
    """Return what a forecast assumes of a type with these options, in sentences."""
    if kind == "ADAMSS":
        return [ASSUMED, RANKS] if options.get("use_dynamic_rank") else [ASSUMED]
    start = options.get("init_lora_weights")
    return [STARTS.format(start)] if FROM_WEIGHTS.fullmatch(str(start)) else []


@contextmanager
def structure_by_config(kind: str, model: nn.Module) -> Iterator[None]:
    """Let peft build a type on a hollow model inside of the block, and the model run after it."""
    from methods.common.fakes import is_hollow

    if kind not in _BUILT or not is_hollow(next(model.parameters())):
        yield
        return
    with ExitStack() as stack:
        for owner, name, new in _BUILT[kind]():
            stack.enter_context(mock.patch.object(owner, name, new))
        yield
    if kind in _FINISHED:
        _FINISHED[kind](model)


Replaced = Iterator[tuple[Any, str, Any]]


def _lora() -> Replaced:
    from peft.tuners.lora import layer

    for owner in (layer.LoraLayer, layer.Embedding):
        for name in DECOMPOSE:
            if name in vars(owner):
                yield owner, name, lambda self, *given: None


def _adamss() -> Replaced:
    from peft.tuners.adamss import layer

    yield layer, "clustering_Z", lambda rows, count, _: (
        (len(rows), min(count, len(rows))), min(count, len(rows))
    )  # fmt: skip
    yield layer, "seg_locations", lambda counts: dict(enumerate(_even(*counts)))


def _even(rows: int, parts: int) -> Iterator[Tensor]:
    """Yield numbers of rows, on the host as k-means leaves them, for parts of one size."""
    import torch

    for part in range(parts):
        size = rows * (part + 1) // parts - rows * part // parts
        yield torch.zeros(size, dtype=torch.int64)


def _frod() -> Replaced:
    from peft.tuners.frod import layer, model

    yield model.FrodModel, "_init_frod_projections", _frod_projections
    yield layer.FrodLayer, "_calculate_frod_u_and_lambda", _frod_start


def _frod_projections(self: Any, config: Any, adapter: str) -> None:
    """Make V (d, d) and the places of S for each kind of target, as large as the config says."""
    import torch
    from peft.tuners.frod.model import (
        BufferDict,
        _category_from_key,
        _maybe_include_all_linear_layers,
    )
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    config = self._prepare_adapter_config(config, self.get_model_config(self.model))
    config = _maybe_include_all_linear_layers(config, self.model)
    sizes: dict[str, Tensor] = {}
    for name, module in self.model.named_modules():
        wanted = self._check_target_module_exists(config, name)
        if wanted and isinstance(module, nn.Linear | Conv1D):
            weight = module.weight.T if isinstance(module, Conv1D) else module.weight
            sizes.setdefault(_category_from_key(name), weight)
    for kind in ("frod_V", "frod_s_indices", "frod_s_size"):
        if not hasattr(self, kind):
            setattr(self, kind, nn.ModuleDict())
    for category, weight in sizes.items():
        width = weight.shape[1]
        count = min(int(width * width * config.sparse_rate), width * (width - 1))
        if config.sparse_rate > 0 and width > 1:
            count = max(1, count)
        held = {
            "frod_V": _on_host(weight, (width, width), weight.dtype),
            "frod_s_indices": _on_host(weight, (2, count), torch.int64),
            "frod_s_size": torch.zeros(2, dtype=torch.int64),
        }
        for kind, tensor in held.items():
            owner = getattr(self, kind)
            if category not in owner:
                owner[category] = BufferDict({}, persistent=config.save_projection)
            owner[category][adapter] = tensor


def _frod_start(self: Any, v: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return something small for U, which `_frod_finished` puts in, and lambda (d)."""
    return v.new_empty(1), v.new_empty(v.shape[0])


def _frod_finished(model: nn.Module) -> None:
    """Give the layers their U (out, d), and forward passes without sparse tensors."""
    from peft.tuners.frod.layer import Linear

    from methods.peft_any.sparse import frod_product, frod_tensors

    for module in model.modules():
        if isinstance(module, Linear):
            weight = module.get_base_layer().weight
            size = (module.out_features, module.in_features)
            for adapter in module.frod_U:
                module.frod_U[adapter] = _on_host(weight, size, weight.dtype)
            module._get_frod_tensors = partial(frod_tensors, module)
            module._sparse_activation_mm = partial(frod_product, module)


def _on_host(weight: Tensor, size: tuple[int, ...], dtype: Any) -> Tensor:
    """Return a tensor of host memory, which beside a meta tensor is one value seen many times."""
    import torch

    if not weight.is_meta:  # a fake one: nothing is held
        return torch.empty(size, dtype=dtype)
    return torch.zeros((), dtype=dtype).expand(size)


def _shira_finished(model: nn.Module) -> None:
    from peft.tuners.shira.layer import Linear

    from methods.peft_any.sparse import shira_forward

    for module in model.modules():
        if isinstance(module, Linear):
            module.forward = partial(shira_forward, module)


_BUILT: dict[str, Callable[[], Replaced]] = {
    "ADAMSS": _adamss, "FROD": _frod, "LORA": _lora, "SHIRA": lambda: iter(()),
}  # fmt: skip
_FINISHED: dict[str, Callable[[nn.Module], None]] = {
    "FROD": _frod_finished, "SHIRA": _shira_finished,
}  # fmt: skip
