"""What stands for optimizers of bitsandbytes and torchao on tensors without values: their states.

Which tensors the states are was read in bitsandbytes 0.50 (optim/optimizer.py) and torchao 0.18
(optim/adam.py, subclass_*.py). bitsandbytes' kernels take nothing beside results. torchao's step is
compiled, tensor by tensor, and takes what was seen of it on an H100 (torch 2.11, Llama-3.2-1B in
bf16): bytes for every entry of the tensor that is stepped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.metering.launches import launch
from harness.training.kept import tensors_of
from harness.units import MIB

BLOCK = 256  # entries of bitsandbytes' 8-bit states that share a scale
SMALLEST = 4096  # of fewer entries neither library keeps less than the whole
PAGED_FROM = 100_000  # entries of a state that bitsandbytes puts into unified memory
MAP = 256  # values that eight bits stand for
TORCHAO_BLOCKS = {"8bit": 256, "4bit": 128, "fp8": 256}
TORCHAO_TAKES = {"8bit": 8, "4bit": 24, "fp8": 2}


class Paged(NamedTuple):
    """A state in unified memory, which no allocator of torch's knows."""

    num_bytes: int


def paged_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of the states that are in unified memory."""
    values = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.num_bytes for value in values if isinstance(value, Paged))


def outside(optimizer: Optimizer) -> list[str]:
    """Say which states no allocator counts, in sentences."""
    size = paged_bytes(optimizer)
    if not size:
        return []
    return [
        f"{size / MIB:,.1f} MiB of the optimizer's states are in unified memory: no peak has them, "
        "and the card holds them in a step as far as there is room"
    ]


class _Hollow(Optimizer):
    """Steps that only make states where there are none.

    Attributes:
        kernel: what steps a parameter.
        timed: it takes the time that its bytes do.
    """

    kernel = ""
    timed = True

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the states of what has a gradient, and what a step of it takes."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if not self.state[parameter]:
                    self.state[parameter] = self.kept(parameter)
                size = self.taken(parameter)
                if size:
                    parameter.new_empty((size,), dtype=torch.uint8)
                self._tell(parameter)

    def kept(self, parameter: nn.Parameter) -> dict[str, Any]:
        """Return a parameter's states before its first step."""
        raise NotImplementedError

    def taken(self, parameter: nn.Parameter) -> int:
        """Return the bytes that a step of the parameter takes for a moment."""
        return 0

    def _tell(self, parameter: nn.Parameter) -> None:
        """Tell of the kernel that steps the parameter: once over it, its gradient and states."""
        states = [each for each in tensors_of(self.state[parameter]) if each.dim()]
        assert parameter.grad is not None
        reads = [parameter.grad, parameter, *states]
        launch(self.kernel, reads, [parameter, *states], known=self.timed)


class HollowBitsandbytes(_Hollow):
    """Stands for bitsandbytes' AdamW (two states) and Lion (one).

    Args:
        groups: of parameters.
        states: how many.
        bits: of an entry: 32, or 8 with an fp32 scale for each 256 and a map for all tensors.
        wide: ids of parameters whose states have 32 bits all the same.
        paged: large states are in unified memory.
    """

    kernel = "bitsandbytes::optimizer_update"

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        states: int,
        bits: int,
        wide: Collection[int] = (),
        paged: bool = False,
    ) -> None:
        super().__init__(groups)
        self._states, self._bits, self._wide, self._paged = states, bits, wide, paged
        self._maps: list[Tensor] = []
        self.timed = not paged

    def kept(self, parameter: nn.Parameter) -> dict[str, Any]:
        """Return the states, and what 8-bit ones are read by."""
        size, numbers = parameter.numel(), range(1, self._states + 1)
        if self._bits == 32 or size < SMALLEST or id(parameter) in self._wide:
            return {f"state{n}": self._buffer(parameter, torch.float32) for n in numbers}
        if not self._maps:
            self._maps = [parameter.new_empty(MAP, dtype=torch.float32) for _ in numbers]
        kept: dict[str, Any] = {}
        for n, values in zip(numbers, self._maps, strict=True):
            kept |= {f"state{n}": self._buffer(parameter, torch.uint8), f"qmap{n}": values}
        scales = (-(-size // BLOCK),)
        return kept | {
            f"absmax{n}": parameter.new_zeros(scales, dtype=torch.float32) for n in numbers
        }

    def _buffer(self, parameter: nn.Parameter, dtype: torch.dtype) -> Tensor | Paged:
        if self._paged and parameter.numel() >= PAGED_FROM:
            return Paged(parameter.numel() * dtype.itemsize)
        return torch.zeros_like(parameter, dtype=dtype)


class HollowTorchao(_Hollow):
    """Stands for torchao's AdamW with states in 8 or 4 bits or fp8.

    Args:
        groups: of parameters.
        form: `8bit`, `4bit` or `fp8`.
        block: entries that share a scale; None: torchao's own number.
    """

    kernel = "torchao::step"
    timed = False  # what the compiler makes of it was not seen

    def __init__(
        self, groups: Iterable[dict[str, Any]], form: str, block: int | None = None
    ) -> None:
        super().__init__(groups)
        self._form, self._block = form, block or TORCHAO_BLOCKS[form]

    def kept(self, parameter: nn.Parameter) -> dict[str, Any]:
        """Return the step's counter and two states."""
        return {
            "step": torch.tensor(0.0),
            "exp_avg": self._buffer(parameter),
            "exp_avg_sq": self._buffer(parameter),
        }

    def taken(self, parameter: nn.Parameter) -> int:
        """Return the bytes that the compiled step takes; of small tensors none are counted."""
        return TORCHAO_TAKES[self._form] * parameter.numel() if self._in_blocks(parameter) else 0

    def _in_blocks(self, parameter: nn.Parameter) -> bool:
        return parameter.numel() >= SMALLEST and parameter.numel() % self._block == 0

    def _buffer(self, parameter: nn.Parameter) -> Tensor | dict[str, Tensor]:
        """Return codes, their scales and, of whole numbers, the values that these stand for."""
        size, form = parameter.numel(), self._form
        if not self._in_blocks(parameter):
            return torch.zeros_like(parameter)
        dtype = torch.float8_e4m3fn if form == "fp8" else torch.uint8
        shape = (size // 2,) if form == "4bit" else parameter.shape
        kept = {
            "codes": parameter.new_empty(shape, dtype=dtype),
            "scale": parameter.new_empty((size // self._block,), dtype=torch.float32),
        }
        if form != "fp8":
            values = MAP if form == "8bit" else 16
            kept["qmap"] = parameter.new_empty((values,), dtype=torch.float32)
        return kept
