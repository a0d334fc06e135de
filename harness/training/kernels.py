"""The kernel of sdpa that a suite pins, in training, in measurements and in the forecast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import UserError
from harness.models.attention import pinned, written

# What torch says where the kernels that are left cannot run: on CUDA, on the CPU.
_NO_KERNEL = ("No available kernel", "No viable backend")


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
    with sdpa_kernel(backends[kernel]):
        try:
            yield
        except RuntimeError as error:
            if not any(text in str(error) for text in _NO_KERNEL):
                raise
            raise UserError(
                f"train.attention = {written(attention)}: the kernel cannot run here: by type, "
                "mask, size of heads, dropout or card; attention: sdpa chooses one that can"
            ) from error
