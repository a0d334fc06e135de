"""Floating point operations of a forward pass and of a training step. One multiply-add is two."""

from __future__ import annotations

import math
import sys
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
    work is done once per batch (DeBERTa's table of relative positions). Where labels have a length
    of their own, the decoder adds target_linear * target + target_quadratic * target^2
    + cross * length * target to each example: its tokens, its attention, and that to the encoder.
    """

    constant: float
    per_example: float
    linear: float
    quadratic: float
    target_linear: float = 0.0
    target_quadratic: float = 0.0
    cross: float = 0.0

    def at(self, shape: BatchShape) -> int:
        """Return the FLOPs of a batch of this shape."""
        length, target = shape.length, shape.target_length or 0
        each = self.per_example + self.linear * length + self.quadratic * length**2
        each += self.target_linear * target + self.target_quadratic * target**2
        each += self.cross * length * target
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


def _four_bits(x: Any, packed: Any, shape: Any, *_: Any, **__: Any) -> int:
    return int(2 * math.prod(x) * shape[0])


def _eight_bits(x: Any, rows: Any, weight: Any, *_: Any, **__: Any) -> int:
    return int(2 * math.prod(rows) * weight[0])


def _counter() -> FlopCounterMode:
    """Return torch's counter with what it counts as nothing: operators that are several in one.

    They are the CPU's fused attention, and bitsandbytes' products where it is in use.
    """
    mapping = dict(CPU_ATTENTION)
    if "bitsandbytes._ops" in sys.modules:  # and not put off: forecasting/spare.py
        own = torch.ops.bitsandbytes
        mapping |= {own.gemm_4bit: _four_bits, own.int8_mixed_scaled_mm: _eight_bits}
    return FlopCounterMode(display=False, custom_mapping=mapping)


class _Tensors(nn.Module):
    """The model with positional inputs and tensors as outputs, as tracing wants it."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(**dict(zip(self.names, inputs, strict=True)))
        return tuple(value for value in outputs.values() if isinstance(value, Tensor))


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

    wrapped = _Tensors(model, list(inputs))
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
    make: Callable[[BatchShape], Batch],
    lengths: tuple[int, int, int] = (16, 24, 40),
    targets: tuple[int, int, int] | None = None,
) -> StepFlops:
    """Measure small batches, as many as `StepFlops` has terms, and solve for it.

    Args:
        model: its step is counted as it is now.
        make: returns a batch of a shape.
        lengths: three different lengths.
        targets: three different lengths of the labels, where they have their own.
    """

    def count(examples: int, length: int, target: int | None) -> int:
        return step_flops(model, make(BatchShape(examples, length, target)))

    first, target = lengths[0], targets[0] if targets else None
    y0, y1, y2 = (count(1, length, target) for length in lengths)
    linear, quadratic = _parabola(lengths, (y0, y1, y2))
    each = count(2, first, target) - y0  # all that grows with the examples
    growing = linear * first + quadratic * first**2
    if targets is None or target is None:
        return StepFlops(y0 - each, each - growing, linear, quadratic)
    z1, z2 = (count(1, first, t) for t in targets[1:])
    target_linear, target_quadratic = _parabola(targets, (y0, z1, z2))
    both = count(1, lengths[1], targets[1])
    cross = (both - y1 - z1 + y0) / ((lengths[1] - first) * (targets[1] - target))
    # What was measured at one length of the other kind holds a part of the product.
    linear, target_linear = linear - cross * target, target_linear - cross * first
    growing = linear * first + quadratic * first**2 + cross * first * target
    growing += target_linear * target + target_quadratic * target**2
    return StepFlops(
        y0 - each, each - growing, linear, quadratic, target_linear, target_quadratic, cross
    )


def _parabola(x: tuple[int, int, int], y: tuple[int, int, int]) -> tuple[float, float]:
    """Return the linear and the quadratic term of the parabola through three points."""
    slope01, slope12 = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    quadratic = (slope12 - slope01) / (x[2] - x[0])
    return slope01 - quadratic * (x[0] + x[1]), quadratic


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
