"""Memory that CUDA takes for itself: no operator returns it, so no mode can see it.

Of operators it is in `kernels/table.py`; of libraries it is here:

| what               | bytes                                                                     |
|--------------------|---------------------------------------------------------------------------|
| cuBLAS workspace   | 8,519,680 per thread that multiplies (forward, backward); 32 MiB each from |
|                    | Hopper on                                                                 |
| cuBLASLt workspace | 1 MiB per thread that multiplies and adds                                 |

Workspaces are as seen on an H100 with torch 2.11.
"""

from __future__ import annotations

from typing import Any

import torch

from harness.simulation.kernels.table import BY_OPERATOR
from harness.simulation.target import Target
from harness.units import MIB

KNOWN = frozenset(BY_OPERATOR)
ADDMM = torch.ops.aten.addmm.default  # the product that cuBLASLt makes, with its bias
LT_WORKSPACE = MIB


def workspace_bytes(target: Target) -> int:
    """Return what cuBLAS holds per thread from its first matrix product on."""
    if target.kind == "cpu":
        return 0
    return 32 * MIB if target.capability >= (9, 0) else 8_519_680


def scratch_bytes(func: Any, args: tuple[Any, ...], out: Any, target: Target) -> int:
    """Return the bytes that one call of a kernel in KNOWN takes and gives back.

    Args:
        func: the operator.
        args: its positional arguments.
        out: its result.
        target: a CUDA device.
    """
    return BY_OPERATOR[func].size(args, out, target)
