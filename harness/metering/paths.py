"""Which module a tensor belongs to, forward and backward, for the ledger."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from methods.quantized import scales


class ModulePaths:
    """The module whose forward runs now, or whose backward does.

    Forward hooks keep a stack of names. Backward has no modules, but every autograd node has a
    sequence number, drawn just before its operator runs: the first operator seen after a number
    was drawn belongs to that node, which ties the node to the module on the stack.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names = {id(module): name for name, module in model.named_modules()}
        tensors = [*model.named_parameters(), *model.named_buffers(), *scales(model)]
        self._tensors = {id(tensor): name for name, tensor in tensors}
        self._stack: list[str] = []
        self._nodes: dict[int, str] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> ModulePaths:
        self._stack, self._nodes = [], {}
        # Hooks for all modules of the process; one outside the model keeps its caller's name.
        self._handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            # Checkpointing leaves modules by an exception when it has recomputed enough.
            hooks.register_module_forward_hook(self._leave, always_call=True),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def name_of(self, tensor: Tensor) -> str:
        """Name a parameter or buffer of the model; empty for any other tensor."""
        return self._tensors.get(id(tensor), "")

    def current(self, node: int) -> str:
        """Name the module of the operator that ran just now; node -1 means not in backward."""
        if self._stack or node < 0:
            path = self._stack[-1] if self._stack else ""
            self._nodes.setdefault(torch._C._autograd._get_sequence_nr() - 1, path)
            return path
        return self._nodes.get(node, "")

    def _enter(self, module: nn.Module, args: object) -> None:
        outer = self._stack[-1] if self._stack else ""
        self._stack.append(self._names.get(id(module), outer))

    def _leave(self, module: nn.Module, args: object, output: object) -> None:
        self._stack.pop()
