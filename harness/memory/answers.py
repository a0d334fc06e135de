"""Values that code asks of a tensor which has none: answered per call site, never by default.

A fake tensor has a shape and no values, so `.item()`, `bool(tensor)` and indexing by a mask
cannot work. Where the answer of a real run is known from the code around the call, it is written
down here; any other site is an error that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.errors import UserError

_ATEN = torch.ops.aten
_VALUE = _ATEN._local_scalar_dense.default
_NONZERO = _ATEN.nonzero.default
_UNIQUE = _ATEN.unique_consecutive.default
_ASKING = frozenset({_VALUE, _NONZERO, _UNIQUE})
UNPADDED = object()  # the answer is whether the batch has no padding

# (end of the file's name, function) -> the value. The first frame outside torch decides.
VALUES: dict[tuple[str, str], Any] = {
    # Whether a mask is all ones, so that attention can do without it.
    ("transformers/masking_utils.py", "_ignore_causal_mask_sdpa"): UNPADDED,
    ("transformers/masking_utils.py", "_ignore_bidirectional_mask_sdpa"): UNPADDED,
    ("transformers/masking_utils.py", "_can_skip_causal_mask_xpu"): UNPADDED,
    # No gradient overflowed, so the optimizer steps.
    ("torch/amp/grad_scaler.py", "<genexpr>"): 0.0,
    ("torch/amp/grad_scaler.py", "_maybe_opt_step"): 0.0,
    # The optimizer's step counter, from which it makes bias corrections.
    ("torch/optim/optimizer.py", "_get_value"): 2.0,
    # Dropout of whole modules is off, and a draw from [0, 1) is above a probability of 0.
    ("peft/tuners/loha/layer.py", "forward"): True,
    ("peft/tuners/lokr/layer.py", "forward"): True,
    # Nothing is infinite until a vector bank is pruned after training.
    ("peft/tuners/vblora/layer.py", "_get_low_rank_matrix"): False,
    ("peft/tuners/vblora/layer.py", "_get_lora_matrices"): False,
    # The threshold under which importance scores are cut; any value keeps the shapes.
    ("peft/tuners/adalora/layer.py", "mask_to_budget"): 0.0,
    # Every layer's budget is full until the schedule starts to cut it.
    ("peft/tuners/adalora/layer.py", "update_and_allocate"): 0.0,
}
# The same for the number of rows that `nonzero` finds, from the shape of what it looks at.
ROWS: dict[tuple[str, str], Callable[[torch.Size], int]] = {
    # One end-of-text token per example.
    ("transformers/models/bart/modeling_bart.py", "forward"): lambda shape: shape[0],
}


_NOT_CALLERS = ("/torch/", "/harness/memory/")


class KnownAnswers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answer what the two tables know, and refuse the rest.

    Open it inside the fake mode. Raises UserError with file, line and function of an unknown site.
    """

    def __init__(self, padded: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._padded = padded

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at the three operators whose outcome depends on values; run any other."""
        if func not in _ASKING or not _is_hollow(args[0]):
            return func(*args, **kwargs) if kwargs else func(*args)
        if func is _VALUE:
            answer = _answer(VALUES, "a value")
            return not self._padded if answer is UNPADDED else answer
        if func is _NONZERO:
            rows = _answer(ROWS, "rows")(args[0].shape)
            return args[0].new_empty((rows, args[0].dim()), dtype=torch.int64)
        rows = _answer(ROWS, "rows")(torch.Size([1]))
        counts = args[0].new_empty((rows,), dtype=torch.int64)
        return args[0].new_empty((rows,)), counts, counts


def _is_hollow(tensor: Tensor) -> bool:
    """Tell a tensor without values from a real one on the host."""
    return isinstance(tensor, FakeTensor) or tensor.is_meta


def _answer(table: dict[tuple[str, str], Any], what: str) -> Any:
    frame: Any = sys._getframe(2)
    asked = ""
    while frame is not None:
        file, function = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        for (end, name), answer in table.items():
            if name == function and file.endswith(end):
                return answer
        if not asked and not any(part in file for part in _NOT_CALLERS):
            asked = f"{file}:{frame.f_lineno} in {function}"
        frame = frame.f_back
    raise UserError(
        f"the forecast cannot know {what} that {asked or 'torch'} reads from a tensor; such code "
        "needs an entry in harness/memory/answers.py"
    )
