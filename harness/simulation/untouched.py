"""A forecast touches no GPU, whatever is on the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from torch.optim import Optimizer

# What torch's optimizers ask a GPU before every step: whether a graph of it is being captured. In
# a fork of a process that has started CUDA the question is an error. Its name by version of torch.
ASKS = ("_cuda_graph_capture_health_check", "_accelerator_graph_capture_health_check")


@contextmanager
def untouched_gpu() -> Iterator[None]:
    """Have optimizers step without a question to the machine's GPU, while the context is open."""
    with ExitStack() as stack:
        for name in ASKS:
            if hasattr(Optimizer, name):
                stack.enter_context(mock.patch.object(Optimizer, name, return_value=None))
        yield
