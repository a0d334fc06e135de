"""What CUDA's kernels take for themselves beside their results, operator by operator.

For every case: inputs are made, the operator runs three times, and of the last run it notes

    temporary = peak allocated while it ran - allocated when its results were there

and what the forecast's table has for the call (`harness/simulation/kernels/table.py`). Bytes. What
the first run took and kept (workspaces of libraries) is noted apart.

    python benchmarks/kernel_temporaries.py [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.forecasting.cards import canonical
from harness.simulation import scratch
from harness.units import mib

ATEN = torch.ops.aten
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
DEVICE = "cuda"
Case = tuple[str, Any, tuple[Any, ...], dict[str, Any]]


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normal numbers on the card."""
    return torch.randn(shape, device=DEVICE, dtype=dtype)


def ids(count: int, below: int) -> Tensor:
    """Return random ids."""
    return torch.randint(below, (count,), device=DEVICE)


def softmaxes() -> Iterator[Case]:
    """Yield softmax and its backward on attention scores and on logits."""
    for dtype in FLOATS:
        scores = draw(8, 12, 256, 256, dtype=dtype)
        yield "softmax scores", ATEN._softmax.default, (scores, -1, False), {}
        if dtype == torch.float16:
            yield "softmax scores to fp32", ATEN._softmax.default, (scores, -1, True), {}
        out = scores.softmax(-1)
        args = (torch.ones_like(out), out, -1, dtype)
        yield "softmax scores backward", ATEN._softmax_backward_data.default, args, {}
        logits = draw(1024, 128_256, dtype=dtype)
        yield "log_softmax logits", ATEN._log_softmax.default, (logits, -1, False), {}
        logs = logits.log_softmax(-1)
        args = (torch.ones_like(logs), logs, -1, dtype)
        yield "log_softmax logits backward", ATEN._log_softmax_backward_data.default, args, {}
        labels = ids(1024, 128_256)
        loss, weight = ATEN.nll_loss_forward(logs, labels, None, 1, -100)
        yield "nll_loss", ATEN.nll_loss_forward.default, (logs, labels, None, 1, -100), {}
        args = (torch.ones_like(loss), logs, labels, None, 1, -100, weight)
        yield "nll_loss backward", ATEN.nll_loss_backward.default, args, {}
        yield "logsumexp logits", ATEN.logsumexp.default, (logits, [-1]), {}


def norms() -> Iterator[Case]:
    """Yield layer norm, RMS norm, and their backward passes."""
    for dtype, width in product(FLOATS, (768, 4096)):
        x, weight, bias = draw(8, 512, width, dtype=dtype), draw(width, dtype=dtype), None
        bias = draw(width, dtype=dtype)
        name = f"layer_norm {width}"
        yield name, ATEN.native_layer_norm.default, (x, [width], weight, bias, 1e-5), {}
        _, mean, rstd = ATEN.native_layer_norm(x, [width], weight, bias, 1e-5)
        every, frozen = [True, True, True], [True, False, False]
        args = (torch.ones_like(x), x, [width], mean, rstd, weight, bias)
        backward = ATEN.native_layer_norm_backward.default
        yield f"{name} backward", backward, (*args, every), {}
        yield f"{name} backward, frozen", backward, (*args, frozen), {}
        if hasattr(ATEN, "_fused_rms_norm"):
            yield f"rms_norm {width}", ATEN._fused_rms_norm.default, (x, [width], weight, 1e-5), {}
            _, rstd = ATEN._fused_rms_norm(x, [width], weight, 1e-5)
            args = (torch.ones_like(x), x, [width], rstd, weight, [True, True])
            yield f"rms_norm {width} backward", ATEN._fused_rms_norm_backward.default, args, {}


def indexed() -> Iterator[Case]:
    """Yield embeddings, gathers, scatters, sorts and scans."""
    for dtype, count in product(FLOATS[:2], (2048, 4096, 65_536)):
        grad, where = draw(count, 768, dtype=dtype), ids(count, 30_522)
        args = (grad, where, 30_522, -1, False)
        yield f"embedding backward, {count} ids", ATEN.embedding_dense_backward.default, args, {}
        table = draw(30_522, 768, dtype=dtype)
        yield f"index_select {count}", ATEN.index_select.default, (table, 0, where), {}
        yield f"index {count}", ATEN.index.Tensor, (table, [where]), {}
        yield f"index_add {count}", ATEN.index_add.default, (table, 0, where, grad), {}
        args = (table, [where], grad, True)
        yield f"index_put accumulate {count}", ATEN.index_put.default, args, {}
        wide = where[:, None].expand(-1, 768)
        yield f"gather {count}", ATEN.gather.default, (table, 0, wide), {}
        yield f"scatter_add {count}", ATEN.scatter_add.default, (table, 0, wide, grad), {}
    for dtype in FLOATS[:2]:
        x = draw(64, 32_768, dtype=dtype)
        yield "topk 50", ATEN.topk.default, (x, 50), {}
        yield "sort", ATEN.sort.default, (x,), {}
        yield "cumsum", ATEN.cumsum.default, (x, -1), {}
        yield "cumsum flat", ATEN.cumsum.default, (x.flatten(), 0), {}
        yield "kthvalue", ATEN.kthvalue.default, (x, 5), {}
        yield "multinomial", ATEN.multinomial.default, (x.softmax(-1), 1), {}
    mask = draw(512, 512) > 0
    yield "nonzero", ATEN.nonzero.default, (mask,), {}
    yield "masked_select", ATEN.masked_select.default, (draw(512, 512), mask), {}
    yield "bincount", ATEN.bincount.default, (ids(4096, 64),), {}


def convolutions() -> Iterator[Case]:
    """Yield patch embeddings, Whisper's and Mamba's convolutions, and their backward passes."""
    shapes = {
        "patches 16": ((32, 3, 224, 224), (768, 3, 16, 16), [16, 16], [0, 0], 1),
        "patches 4": ((32, 3, 224, 224), (128, 3, 4, 4), [4, 4], [0, 0], 1),
        "whisper": ((8, 80, 3000), (768, 80, 3), [1], [1], 1),
        "depthwise": ((8, 1536, 512), (1536, 1, 4), [1], [3], 1536),
    }
    for dtype, (name, (size, kernel, stride, padding, groups)) in product(FLOATS, shapes.items()):
        x, weight = draw(*size, dtype=dtype), draw(*kernel, dtype=dtype)
        bias, zeros = draw(kernel[0], dtype=dtype), [0] * len(stride)
        ones = [1] * len(stride)
        args = (x, weight, bias, stride, padding, ones, False, zeros, groups)
        yield f"conv {name}", ATEN.convolution.default, args, {}
        grad = torch.ones_like(ATEN.convolution(*args))
        for what, needed in (("", [False, True, True]), (" with inputs", [True, True, True])):
            args = (grad, x, weight, [kernel[0]], stride, padding, ones, False, zeros, groups,
                    needed)  # fmt: skip
            yield f"conv {name} backward{what}", ATEN.convolution_backward.default, args, {}


def products() -> Iterator[Case]:
    """Yield matrix products."""
    for dtype in FLOATS:
        a, b, bias = draw(4096, 1024, dtype=dtype), draw(1024, 4096, dtype=dtype), None
        bias = draw(4096, dtype=dtype)
        yield "mm", ATEN.mm.default, (a, b), {}
        yield "mm transposed", ATEN.mm.default, (b.t(), b), {}
        yield "mm tall", ATEN.mm.default, (a.t(), draw(4096, 8, dtype=dtype)), {}
        yield "addmm", ATEN.addmm.default, (bias, a, b), {}
        batch = draw(96, 256, 64, dtype=dtype)
        yield "bmm", ATEN.bmm.default, (batch, batch.transpose(1, 2)), {}
        scores = draw(96, 256, 256, dtype=dtype)
        args = (scores, batch, batch.transpose(1, 2))
        yield "baddbmm", ATEN.baddbmm.default, args, {"beta": 1, "alpha": 0.125}
        yield "sum over rows", ATEN.sum.dim_IntList, (draw(4096, 3072, dtype=dtype), [0]), {}
        yield "sum of all", ATEN.sum.default, (draw(4096, 3072, dtype=dtype),), {}
        yield "mean along rows", ATEN.mean.dim, (draw(4096, 3072, dtype=dtype), [-1]), {}
        yield "var_mean", ATEN.var_mean.correction, (draw(4096, 3072, dtype=dtype), [-1]), {}
        yield "norm", ATEN.linalg_vector_norm.default, (draw(4096, 3072, dtype=dtype), 2), {}
        yield "amax of all", ATEN.amax.default, (draw(4096, 3072, dtype=dtype),), {}
    ends = torch.arange(512, 4097, 512, device=DEVICE, dtype=torch.int32)
    experts = draw(8, 1024, 2048, dtype=torch.bfloat16)
    tokens = draw(4096, 1024, dtype=torch.bfloat16)
    yield "grouped mm, 8 experts", ATEN._grouped_mm.default, (tokens, experts), {"offs": ends}


def attentions() -> Iterator[Case]:
    """Yield the fused attention kernels and their backward passes, with and without groups."""
    flash = ATEN._scaled_dot_product_flash_attention.default
    efficient = ATEN._scaled_dot_product_efficient_attention.default
    cudnn = ATEN._scaled_dot_product_cudnn_attention.default
    for dtype, length, dim in product(FLOATS, (256, 300), (64, 128)):
        q = draw(8, 16, length, dim, dtype=dtype)
        name = f"{length}x{dim}"
        args = (q, q, q, None, True, 0.0, True)
        yield f"efficient {name}", efficient, args, {}
        out, logs, seed, offset = efficient(*args)
        backward = ATEN._scaled_dot_product_efficient_attention_backward.default
        args = (torch.ones_like(out), q, q, q, None, out, logs, seed, offset, 0.0,
                [True, True, True, False], True)  # fmt: skip
        yield f"efficient {name} backward", backward, args, {}
        if dtype == torch.float32:
            continue
        for heads in (16, 4):
            k = draw(8, heads, length, dim, dtype=dtype)
            groups = "" if heads == 16 else ", grouped"
            yield f"flash {name}{groups}", flash, (q, k, k, 0.0, True), {}
            out, logs, cq, ck, mq, mk, seed, offset, _ = flash(q, k, k, 0.0, True)
            backward = ATEN._scaled_dot_product_flash_attention_backward.default
            args = (torch.ones_like(out), q, k, k, out, logs, cq, ck, mq, mk, 0.0, True, seed,
                    offset)  # fmt: skip
            yield f"flash {name}{groups} backward", backward, args, {}
        yield f"cudnn {name}", cudnn, (q, q, q, None, True, 0.0, True), {}


def pointwise() -> Iterator[Case]:
    """Yield what works element by element, and casts."""
    for dtype in FLOATS:
        x = draw(8, 512, 3072, dtype=dtype)
        yield "gelu", ATEN.gelu.default, (x,), {}
        yield "gelu backward", ATEN.gelu_backward.default, (x, x), {}
        yield "silu backward", ATEN.silu_backward.default, (x, x), {}
        yield "native_dropout", ATEN.native_dropout.default, (x, 0.1, True), {}
        yield "to fp32", ATEN._to_copy.default, (x,), {"dtype": torch.float32}
        yield "where", ATEN.where.self, (x > 0, x, x), {}
        yield "cat", ATEN.cat.default, ([x, x], -1), {}
        yield "isfinite all", lambda t: torch.isfinite(t).all(), (x,), {}


def losses() -> Iterator[Case]:
    """Yield whole losses through autograd: forward and backward together."""

    def run(logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.detach().requires_grad_()
        functional.cross_entropy(logits.float(), labels).backward()
        return logits.grad

    for dtype in FLOATS:
        case = (draw(1024, 128_256, dtype=dtype), ids(1024, 128_256))
        yield "cross_entropy and backward", run, case, {}


def optimizers() -> Iterator[Case]:
    """Yield optimizer steps over 24 tensors of 4 million numbers, and clipping."""

    def case(name: str, make: Callable[[list[Tensor]], Any]) -> Case:
        parameters = [draw(4_194_304).requires_grad_() for _ in range(24)]
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        step = make(parameters)
        return name, lambda: step() and None, (), {}

    def of(kind: Any, **options: Any) -> Callable[[list[Tensor]], Any]:
        return lambda parameters: kind(parameters, lr=1e-5, **options).step

    for how in ({"foreach": True}, {"foreach": False}, {"fused": True}):
        yield case(f"AdamW {how}", of(torch.optim.AdamW, **how))
    for how in ({"foreach": True}, {"foreach": False}, {"fused": True}):
        yield case(f"SGD momentum {how}", of(torch.optim.SGD, momentum=0.9, **how))
    yield case("Adafactor", of(torch.optim.Adafactor))
    clip = torch.nn.utils.clip_grad_norm_
    yield case("clip_grad_norm_", lambda parameters: lambda: clip(parameters, 1.0))


PARTS = (softmaxes, norms, indexed, convolutions, products, attentions, pointwise, losses,
         optimizers)  # fmt: skip


def measure(case: Case) -> dict[str, Any]:
    """Run one case three times and return its row."""
    name, func, args, options = case
    tensors = [a for a in args if isinstance(a, Tensor)]
    row: dict[str, Any] = {
        "case": name,
        "dtype": str(tensors[0].dtype).removeprefix("torch.") if tensors else "float32",
        "inputs": sum(t.untyped_storage().nbytes() for t in tensors),
    }
    start = torch.cuda.memory_allocated()
    for turn in range(3):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        out = func(*args, **options)
        torch.cuda.synchronize()
        after, peak = torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
        if func in scratch.KNOWN:
            target = canonical(torch.cuda.get_device_capability())
            row["forecast"] = scratch.scratch_bytes(func, args, out, target)
        del out
        if turn == 0:
            row["kept_by_first"] = torch.cuda.memory_allocated() - start
    return row | {"results": after - before, "temporary": peak - max(before, after)}


def main(parts: Sequence[Callable[[], Iterator[Case]]] = PARTS) -> None:
    """Measure every case; print those with a temporary, or with a forecast that is another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}; MiB")
    for part in parts:
        cases, case = part(), None
        while True:
            try:
                case = next(cases, None)
                if case is None:
                    break
                row = measure(case)
            except Exception as error:
                name = case[0] if case else part.__name__
                row = {"case": name, "error": str(error).splitlines()[0]}
            rows.append(row)
            case = None  # its tensors go
            gc.collect()
            if "error" in row:
                print(f"{row['case']:34} {row['error']}", flush=True)
            elif row["temporary"] or row.get("forecast"):
                foreseen = mib(row["forecast"]) if "forecast" in row else "-"
                print(f"{row['case']:34} {row['dtype']:9} inputs {mib(row['inputs']):>8} "
                      f"results {mib(row['results']):>8} temporary {mib(row['temporary']):>8} "
                      f"forecast {foreseen:>8} kept {mib(row['kept_by_first']):>6}",
                      flush=True)  # fmt: skip
    if arguments.json:
        head = {"card": torch.cuda.get_device_name(0), "torch": torch.__version__}
        arguments.json.write_text(json.dumps({**head, "cases": rows}, indent=1))


if __name__ == "__main__":
    main()
