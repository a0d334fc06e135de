"""Packages that are not here, as far as settings ask for them: what stands for their functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from harness.models.attention import FLASH
from harness.simulation.bitsandbytes_package import bitsandbytes_package
from harness.simulation.flash_package import flash_package
from harness.simulation.liger import liger_package

if TYPE_CHECKING:
    from harness.simulation.target import Target
    from harness.suite.settings import TrainSettings


@contextmanager
def packages_of(train: TrainSettings, target: Target) -> Iterator[None]:
    """Give functions without values for those of flash-attn, Liger and bitsandbytes.

    Raises:
        UserError: the target is none that one of them has kernels for.
    """
    with ExitStack() as stack:
        if train.attention == FLASH:
            stack.enter_context(flash_package(target))
        if train.liger_kernels or train.loss == "liger":
            stack.enter_context(liger_package(target))
        stack.enter_context(bitsandbytes_package(asked=train.dtypes.quantised))
        yield
