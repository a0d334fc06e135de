"""The optimizer in the backward pass: a tensor is stepped when its gradient is there, and drops it.

No more than a few gradients live at once. What wants all of them has no place here: clipping by
their norm, their sum over several passes, a scaler that looks for infinite ones, methods that read
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from harness.errors import UserError
from harness.metering.watch import NoWatch

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from harness.metering.watch import Watch


class InBackward:
    """Hooks that step what trains.

    One optimizer serves all tensors: all gradients but one are None when it is called, and it
    leaves alone what has none.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._watch: Watch | None = None
        self._stepped: set[int] = set()

    @contextmanager
    def stepping(self, watch: Watch | None = None) -> Iterator[None]:
        """Step what gets its gradient inside of the block; another backward pass steps nothing.

        Raises:
            UserError: a tensor's gradient comes in two parts.
        """
        # A tensor's hook holds the optimizer, and with it all tensors: kept, nothing would ever be
        # freed, since Python does not see this circle.
        hooks = [
            parameter.register_post_accumulate_grad_hook(self._step)
            for group in self._optimizer.param_groups
            for parameter in group["params"]
        ]
        self._watch = watch or NoWatch()
        self._stepped.clear()
        try:
            yield
        finally:
            self._watch = None
            for hook in hooks:
                hook.remove()

    def _step(self, parameter: Tensor) -> None:
        if self._watch is None or parameter.grad is None:
            return
        if id(parameter) in self._stepped:
            raise UserError(
                "train.optimizer_in_backward = true: a tensor that several layers share gets its "
                "gradient in parts under reentrant checkpointing; gradient_checkpointing: true "
                "adds them up first"
            )
        self._stepped.add(id(parameter))
        self._watch.declare("gradients", (parameter.grad,))
        self._optimizer.step()
        parameter.grad = None
