"""Let torch's own kernels for meta tensors run where it has put Python in front of them.

When its decompositions are imported, torch replaces the C++ kernels that work out shapes by Python
functions with the same outcome, ten times slower. A forecast needs Python only for the operators
that have no other kernel.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch


@cache
def restore_native_kernels() -> None:
    """Take the Python kernels away where a native one exists, in a process of its own."""
    import torch._meta_registrations as registered
    from torch._decomp import global_decomposition_table

    table: dict[Any, Any] = {}
    for kind in ("meta", "post_autograd", "pre_autograd"):  # the more specific one wins
        for operator, function in global_decomposition_table[kind].items():
            table.setdefault(operator, function)
    registered._meta_lib_dont_use_me_use_register_meta._destroy()  # type: ignore[no-untyped-call]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    for operator, function in table.items():
        if not isinstance(operator, torch._ops.OpOverload) or operator.namespace != "aten":
            continue
        name: str = operator.name()  # type: ignore[no-untyped-call]
        if not operator.is_view and not any(has(name, key) for key in _SERVED):
            _LIBRARY.impl(operator, function)


# An operator with a kernel of one of these runs on meta tensors without Python. Composite kernels
# with an autograd formula of their own are not among them: convolution's looks for a device.
_SERVED = ("Meta", "CompositeImplicitAutograd")
_LIBRARY: Any = torch.library.Library("aten", "IMPL", "Meta")  # type: ignore[no-untyped-call]
