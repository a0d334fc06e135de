"""The kernel of sdpa that a suite pins, in training, in measurements and in the forecast."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import UserError
from harness.models.attention import pinned, written

# What torch says where the kernels that are left cannot run: on CUDA, on the CPU.
_NO_KERNEL = ("No available kernel", "No viable backend")
# Where its warnings come from that say why, and what they end with.
_REASONS = re.compile(r"^(.*?)\.?\s*\(Triggered internally at \S*sdp_utils\S*\)?.*$", re.DOTALL)


@contextmanager
def pinned_kernel(attention: str) -> Iterator[None]:
    """Leave sdpa the kernel that the setting pins, of whatever runs inside, in every thread.

    Raises:
        UserError: what ran inside needs another one.
    """
    kernel = pinned(attention)
    if kernel is None:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = {
        "flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "math": SDPBackend.MATH, "cudnn": SDPBackend.CUDNN_ATTENTION,
    }  # fmt: skip
    with sdpa_kernel(backends[kernel]), _reasons() as told:
        try:
            yield
        except RuntimeError as error:
            if not any(text in str(error) for text in _NO_KERNEL):
                raise
            unknown = "by type, mask, size of heads, dropout or card"
            raise UserError(
                f"train.attention = {written(attention)}: the kernel cannot run here: "
                f"{'; '.join(told) or unknown}; attention: sdpa chooses one that can"
            ) from error


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """Yield what torch warns of kernels that cannot run; every warning is shown as it would be."""
    told: list[str] = []
    show = warnings.showwarning

    def listen(message: Warning | str, *args: Any, **kwargs: Any) -> None:
        found = _REASONS.match(str(message))
        if found and not found[1].endswith("not used because:") and found[1] not in told:
            told.append(found[1])
        show(message, *args, **kwargs)

    warnings.showwarning = listen
    try:
        yield told
    finally:
        warnings.showwarning = show
