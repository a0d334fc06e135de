"""What CUDA's kernels of bitsandbytes, torchao and Liger take for themselves beside their results.

As kernel_temporaries.py, of packages: linear layers on quantised weights below and above the rows
from which their weight is made, 8-bit optimizers, and Liger's loss and layers. A package that is
not installed is named, and its cases are left out.

    python benchmarks/package_temporaries.py [--json FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from kernel_temporaries import DEVICE, Case, draw, ids, main
from torch import Tensor

BF16, FP16 = torch.bfloat16, torch.float16
ROWS = (1, 4, 5, 64, 512, 1536, 1537, 2048, 8192)


def _forward(layer: Any, x: Tensor) -> Tensor:
    return layer(x)


def _both(layer: Any, x: Tensor) -> Tensor:
    out = layer(x)
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    return grad


def four_bits() -> Iterator[Case]:
    """Yield Linear4bit, forward alone and with backward, by rows."""
    from bitsandbytes.nn import Linear4bit

    for (wide, high), double in product(((2048, 8192), (4096, 4096)), (False, True)):
        options: dict[str, Any] = {"compute_dtype": BF16, "compress_statistics": double}
        layer = Linear4bit(wide, high, bias=False, quant_type="nf4", **options).to(DEVICE)
        layer.weight.requires_grad_(False)
        for rows, dtype in product(ROWS, (BF16, torch.float32)):
            x = draw(rows, wide, dtype=dtype).requires_grad_()
            name = f"nf4 {wide}x{high}{' double' if double else ''}, {rows} rows"
            yield name, _forward, (layer, x), {}
            yield f"{name}, backward", _both, (layer, x), {}


def eight_bits() -> Iterator[Case]:
    """Yield Linear8bitLt, forward alone and with backward; none of its inputs has outliers."""
    from bitsandbytes.nn import Linear8bitLt

    for wide, high in ((2048, 8192), (4096, 4096)):
        layer = Linear8bitLt(wide, high, bias=False, has_fp16_weights=False, threshold=6.0)
        layer = layer.to(DEVICE)
        for rows, dtype in product((64, 2048), (FP16, BF16, torch.float32)):
            x = draw(rows, wide, dtype=dtype).clamp(-5, 5).requires_grad_()
            yield f"int8 {wide}x{high}, {rows} rows", _forward, (layer, x), {}
            yield f"int8 {wide}x{high}, {rows} rows, backward", _both, (layer, x), {}


def _stepped(name: str, kind: Any, dtype: torch.dtype) -> Case:
    parameters = [draw(4_194_304, dtype=dtype).requires_grad_() for _ in range(24)]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = kind(parameters, lr=1e-5)
    return f"{name} of {str(dtype)[6:]}", lambda: optimizer.step() and None, (), {}


def bitsandbytes_steps() -> Iterator[Case]:
    """Yield optimizer steps over 24 tensors of 4 million numbers."""
    from bitsandbytes import optim

    for dtype in (torch.float32, BF16):
        for name in ("AdamW", "AdamW8bit", "PagedAdamW", "PagedAdamW8bit", "Lion8bit"):
            yield _stepped(name, getattr(optim, name), dtype)


def torchao_steps() -> Iterator[Case]:
    """Yield the same of torchao, which compiles its step."""
    from torchao import optim

    for name in ("AdamW8bit", "AdamW4bit", "AdamWFp8"):
        yield _stepped(f"torchao {name}", getattr(optim, name), BF16)


def liger() -> Iterator[Case]:
    """Yield Liger's functions, with backward."""
    from liger_kernel import ops

    def run(function: Any, *args: Any) -> Any:
        out = function.apply(*args)
        out = out[0] if isinstance(out, tuple) else out
        wanted = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        return torch.autograd.grad(out, wanted, torch.ones_like(out))

    for tokens, words, trains in product((512, 2048, 4096), (32_000, 128_256), (False, True)):
        x = draw(tokens, 2048, dtype=BF16).requires_grad_()
        head = draw(words, 2048, dtype=BF16).requires_grad_(trains)
        args = (ops.LigerFusedLinearCrossEntropyFunction, x, head, ids(tokens, words))
        name = f"fused loss, {tokens} x {words}{', head trains' if trains else ''}"
        yield name, run, args, {}
    for dtype in (BF16, torch.float32):
        logits = draw(1024, 128_256, dtype=dtype).requires_grad_()
        args = (ops.LigerCrossEntropyFunction, logits * 1, ids(1024, 128_256), None)
        yield "Liger's cross_entropy", run, (*args[:1], logits, *args[2:]), {}
        x, weight = draw(2048, 2048, dtype=dtype), draw(2048, dtype=dtype)
        for trains in (False, True):
            tail = (weight.detach().requires_grad_(trains), 1e-6, 0.0, "llama", True, None)
            yield "rms_norm", run, (ops.LigerRMSNormFunction, x.requires_grad_(), *tail), {}
        gate, up = (draw(2048, 8192, dtype=dtype).requires_grad_() for _ in range(2))
        yield "silu_mul", run, (ops.LigerSiLUMulFunction, gate, up), {}


if __name__ == "__main__":
    main((four_bits, eight_bits, bitsandbytes_steps, liger, torchao_steps))
