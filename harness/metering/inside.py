"""What bitsandbytes' operators make inside of themselves, where no mode sees it.

Its product with 4-bit weights makes the scales in fp32 and the whole weight in the type of the
input, and drops them (bitsandbytes 0.50, backends/default/ops.py: _gemm_4bit_default_impl; CUDA's
kernels for few rows, which make neither, are not told apart). Reading an 8-bit weight makes it
twice. What its 8-bit operators make in evaluation on the CPU depends on the machine and is not
known here.
"""

from __future__ import annotations

from math import prod
from typing import Any

_PRODUCT = "bitsandbytes::gemm_4bit"
_READ = "bitsandbytes::int8_vectorwise_dequant"


def bytes_inside(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the bytes that one call of an operator takes and gives back unseen."""
    if func.namespace != "bitsandbytes":
        return 0
    if func.name() == _READ:
        return 4 * int(args[0].numel())
    if func.name() != _PRODUCT:
        return 0
    given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    nested = given.get("absmax_8bit")
    scales = 0 if nested is None else 4 * nested.numel()
    return scales + prod(given["shapeB"]) * int(given["A"].element_size())
