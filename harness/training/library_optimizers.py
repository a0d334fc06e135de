"""Optimizers of bitsandbytes and torchao at work: built, and their states saved and narrowed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import (
    _disable_current_modes,
    is_traceable_wrapper_subclass,
)


@runtime_checkable
class OwnStates(Protocol):
    """An optimizer whose states are not tensors like their parameter."""

    def narrow(self, state: Mapping[str, Any], new: nn.Parameter, dim: int, kept: Tensor) -> None:
        """Give `new`, in a group already, what `kept` along `dim` is left of another one's state.

        Blocks begin at other entries then: what is left is rounded once more.
        """

    def restore(self, parameter: nn.Parameter, saved: Mapping[str, Any]) -> None:
        """Give a parameter the state that `plain` saved."""


def plain(value: Any) -> Any:
    """Return a state's value as tensors that can be stored: of torchao's, those that it is of."""
    if is_traceable_wrapper_subclass(value):
        names, _ = value.__tensor_flatten__()
        return {name: getattr(value, name) for name in names}
    return value


def of_bitsandbytes(
    groups: Iterable[dict[str, Any]],
    family: str,
    bits: int,
    paged: bool,
    options: Mapping[str, Any],
    wide: Collection[int],
) -> Optimizer:
    """Build bitsandbytes' AdamW or Lion.

    Args:
        groups: of parameters.
        family: `adamw` or `lion`.
        bits: of an entry of a state, 8 or 32.
        paged: large states are in unified memory; on the CPU they are not.
        options: betas, eps.
        wide: ids of parameters whose states have 32 bits all the same.
    """
    from bitsandbytes import functional, optim

    kind: Any = {"adamw": optim.AdamW, "lion": optim.Lion}[family]

    class OurBitsandbytes(kind):  # type: ignore[misc]
        def get_config(self, gindex: int, pindex: int, group: Any) -> dict[str, Any]:
            config: dict[str, Any] = super().get_config(gindex, pindex, group)
            if id(group["params"][pindex]) in wide:
                config["optim_bits"] = 32
            return config

        def _begin(self, parameter: nn.Parameter) -> dict[str, Any]:
            for number, group in enumerate(self.param_groups):
                for place, member in enumerate(group["params"]):
                    if member is parameter:
                        self.init_state(group, parameter, number, place)
            state: dict[str, Any] = self.state[parameter]
            return state

        @torch.no_grad()
        def narrow(
            self, state: Mapping[str, Any], new: nn.Parameter, dim: int, kept: Tensor
        ) -> None:
            own = self._begin(new)
            own["step"] = state["step"]
            for n in (n for n in (1, 2) if f"state{n}" in state):
                old = state[f"state{n}"]
                if f"absmax{n}" in state:
                    old = functional.dequantize_blockwise(
                        old, absmax=state[f"absmax{n}"], code=state[f"qmap{n}"], blocksize=256
                    )
                left = old.index_select(dim, kept.to(old.device))
                if f"absmax{n}" in own:
                    left, scales = functional.quantize_blockwise(
                        left, code=own[f"qmap{n}"], blocksize=256
                    )
                    own[f"absmax{n}"].copy_(scales.absmax)
                own[f"state{n}"].copy_(left)

        @torch.no_grad()
        def restore(self, parameter: nn.Parameter, saved: Mapping[str, Any]) -> None:
            own = self._begin(parameter)
            for key, value in saved.items():
                if not isinstance(value, Tensor):
                    own[key] = value
                elif not key.startswith("qmap"):  # one for all parameters, and always the same
                    own[key].copy_(value)

    built: Optimizer = OurBitsandbytes(groups, **{"optim_bits": bits, "is_paged": paged, **options})
    return built


def of_torchao(
    groups: Iterable[dict[str, Any]], form: str, block: int | None, options: Mapping[str, Any]
) -> Optimizer:
    """Build torchao's AdamW with states in 8 or 4 bits or fp8.

    On CUDA its step is compiled, once for each shape of a tensor. On the CPU it runs as it is
    written, since compiling needs a compiler of C++ there and 20 seconds a shape.

    Args:
        groups: of parameters.
        form: `8bit`, `4bit` or `fp8`.
        block: entries that share a scale; None: torchao's own number.
        options: betas, eps.
    """
    from torchao import optim

    kind: Any = {"8bit": optim.AdamW8bit, "4bit": optim.AdamW4bit, "fp8": optim.AdamWFp8}[form]

    class OurTorchao(kind):  # type: ignore[misc]
        def step(self, closure: Any = None) -> Any:
            compiled = all(p.device.type != "cpu" for g in self.param_groups for p in g["params"])
            # A step that is compiled cannot be watched: tracing it would trace the ledger.
            with ExitStack() as stack:
                stack.enter_context(_disable_current_modes())
                if not compiled:
                    stack.enter_context(torch.compiler.set_stance("force_eager"))
                return super().step(closure)

        @torch.no_grad()
        def narrow(
            self, state: Mapping[str, Any], new: nn.Parameter, dim: int, kept: Tensor
        ) -> None:
            own = self.state[new]
            own["step"] = state["step"]
            for key in ("exp_avg", "exp_avg_sq"):
                old: Any = state[key]
                whole = old if plain(old) is old else old.dequantize()
                own[key] = self._new_buffer(new, key == "exp_avg")
                own[key].copy_(whole.index_select(dim, kept))

        @torch.no_grad()
        def restore(self, parameter: nn.Parameter, saved: Mapping[str, Any]) -> None:
            own = self.state[parameter]
            own["step"] = saved["step"].clone()
            for key in ("exp_avg", "exp_avg_sq"):
                own[key] = self._new_buffer(parameter, key == "exp_avg")
                if not isinstance(saved[key], Tensor):
                    for name, value in saved[key].items():
                        getattr(own[key], name).copy_(value)
                else:
                    own[key].copy_(saved[key])

    built: Optimizer = OurTorchao(
        groups, **({} if block is None else {"block_size": block}), **options
    )
    return built
