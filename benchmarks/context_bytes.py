"""What a process takes on the card outside torch's allocator, as its libraries are first used.

Used bytes of the card minus reserved ones, after each step; with nothing else on the card they are
the process's context and kernels. One JSON object on the last line.

    python benchmarks/context_bytes.py
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from torch.nn import functional

BF16 = torch.bfloat16


def used() -> int:
    """Return the bytes of the card that are in use and not reserved by torch."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free - torch.cuda.memory_reserved()


def product() -> None:
    """Use cuBLAS."""
    x = torch.ones(512, 512, device="cuda", dtype=BF16)
    (x @ x).sum().item()


def attention() -> None:
    """Use the fused kernels of attention."""
    q = torch.randn(2, 8, 128, 64, device="cuda", dtype=BF16, requires_grad=True)
    functional.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()


def steps() -> None:
    """Use multi-tensor and fused AdamW."""
    for how in ("foreach", "fused"):
        weight = torch.ones(512, 512, device="cuda", requires_grad=True)
        weight.grad = torch.ones_like(weight)
        torch.optim.AdamW([weight], **{how: True}).step()


def bitsandbytes() -> None:
    """Use a 4-bit and an 8-bit layer, and an 8-bit optimizer."""
    from bitsandbytes import nn, optim

    x = torch.randn(2048, 512, device="cuda", dtype=torch.float16, requires_grad=True)
    nn.Linear4bit(512, 512, compute_dtype=torch.float16).cuda()(x).sum().backward()
    nn.Linear8bitLt(512, 512, has_fp16_weights=False, threshold=6.0).cuda()(x).sum().backward()
    weight = torch.ones(512, 512, device="cuda", requires_grad=True)
    weight.grad = torch.ones_like(weight)
    optim.AdamW8bit([weight]).step()


def liger() -> None:
    """Use kernels that triton compiles."""
    from liger_kernel.ops import LigerRMSNormFunction

    x = torch.randn(512, 512, device="cuda", dtype=BF16, requires_grad=True)
    weight = torch.ones(512, device="cuda", dtype=BF16)
    LigerRMSNormFunction.apply(x, weight, 1e-6, 0.0, "llama", True, None).sum().backward()


def main() -> None:
    """Use one library after the other."""
    torch.cuda.init()
    torch.ones(1, device="cuda")
    found = {"one tensor": used()}
    uses: tuple[Callable[[], None], ...] = (product, attention, steps, bitsandbytes, liger)
    for use in uses:
        try:
            use()
        except Exception as error:  # a package that is absent
            print(f"{use.__name__}: {type(error).__name__}: {error}")
            continue
        found[use.__name__] = used()
    print(json.dumps({"card": torch.cuda.get_device_name(0), "torch": torch.__version__, **found}))


if __name__ == "__main__":
    main()
