"""Floating point operations of a forward pass and of a training step. One multiply-add is two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from harness.shapes import BatchShape
from methods.common.random_state import private_random_state

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class ForwardFlops:
    """A forward pass on one batch.

    Attributes:
        macs: multiply-adds by fvcore, None where it cannot trace the model.
        flops: by torch's counter: matrix products, convolutions and attention.
        unsupported: operators that fvcore does not count, with how often they were called.
        note: why `macs` is missing.
    """

    macs: int | None
    flops: int
    unsupported: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class StepFlops:
    """Forward and backward of one batch as a function of its shape.

    constant + examples * (per_example + linear * length + quadratic * length^2): the length enters
    linearly but for the attention products; pooler and head see one token per example; and some
    work is done once per batch (DeBERTa's table of relative positions).
    """

    constant: float
    per_example: float
    linear: float
    quadratic: float

    def at(self, shape: BatchShape) -> int:
        """Return the FLOPs of a batch of this shape."""
        each = self.per_example + self.linear * shape.length + self.quadratic * shape.length**2
        return round(self.constant + shape.examples * each)


def _cpu_attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _cpu_attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(
        sdpa_backward_flop_count(grad, query, key, value)  # type: ignore[no-untyped-call]
    )


_ATEN = torch.ops.aten
CPU_ATTENTION: dict[Any, Any] = {
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,
}


def _counter() -> FlopCounterMode:
    """Return torch's counter with the CPU's fused attention, which it counts as nothing."""
    return FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)


class _Logits(nn.Module):
    """The model with positional inputs and logits only, as tracing wants it."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def forward_flops(model: nn.Module, inputs: Batch) -> ForwardFlops:
    """Count a forward pass of `inputs`, without labels; works on meta tensors.

    Leaves the random state and the mode of the model as they were.
    """
    with _undisturbed(model), torch.no_grad():
        model.eval()
        with _counter() as counter:
            model(**inputs)
        flops = int(counter.get_total_flops())
        try:
            macs, unsupported = _fvcore(model, inputs)
        except Exception as error:  # tracing fails in as many ways as there are models
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            return ForwardFlops(None, flops, (), f"fvcore: {type(error).__name__}: {reason}")
    return ForwardFlops(macs, flops, unsupported)


def _fvcore(model: nn.Module, inputs: Batch) -> tuple[int, tuple[str, ...]]:
    from fvcore.nn import FlopCountAnalysis

    wrapped = _Logits(model, list(inputs))
    analysis = FlopCountAnalysis(wrapped, tuple(inputs.values()))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    analysis.set_op_handle("aten::scaled_dot_product_attention", _attention_macs)
    total = int(analysis.total())
    missed = analysis.unsupported_ops()
    return total, tuple(f"{name} x{count}" for name, count in sorted(missed.items()))


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Count both products of attention: B*H*(L*S*D + L*S*Dv); fvcore alone counts none."""
    query, key, value = (item.type().sizes() for item in inputs[:3])
    batch_and_heads, length = math.prod(query[:-2]), query[-2]
    return int(batch_and_heads * length * key[-2] * (query[-1] + value[-1]))


def step_flops(model: nn.Module, batch: Batch) -> int:
    """Count forward and backward of `batch` with the trainable tensors as they are.

    Leaves gradients, random state and mode as they were.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kept = [parameter.grad for parameter in trained]
    for parameter in trained:
        parameter.grad = None
    try:
        with _undisturbed(model), _counter() as counter:
            loss = model(**batch).loss
            if loss.requires_grad:
                loss.backward()
    finally:
        for parameter, gradient in zip(trained, kept, strict=True):
            parameter.grad = gradient
    return int(counter.get_total_flops())


def fit_step_flops(
    model: nn.Module,
    make: Callable[[int, int], Batch],
    lengths: tuple[int, int, int] = (16, 24, 40),
) -> StepFlops:
    """Measure four small batches and solve for the formula of `StepFlops`.

    Args:
        model: its step is counted as it is now.
        make: returns a batch of so many examples of so many tokens.
        lengths: three different lengths.
    """
    y0, y1, y2 = (step_flops(model, make(1, length)) for length in lengths)
    x0, x1, x2 = lengths
    slope01, slope12 = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    quadratic = (slope12 - slope01) / (x2 - x0)
    linear = slope01 - quadratic * (x0 + x1)
    growing = linear * x0 + quadratic * x0**2
    per_example = step_flops(model, make(2, x0)) - y0 - growing
    return StepFlops(y0 - per_example - growing, per_example, linear, quadratic)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Restore the random state and every module's mode."""
    modes = {module: module.training for module in model.modules()}
    try:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        with private_random_state(device):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
