"""Values that code asks of a tensor which has none: answered per call site, never by default.

A fake tensor has a shape and no values, so `.item()`, `bool(tensor)` and indexing by a mask
cannot work. Where the answer of a real run is known from the code around the call, it is written
down here; any other site is an error that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.errors import UserError
from harness.simulation import model_values, peft_answers
from harness.simulation.full_masks import FullMasks
from harness.simulation.layouts import OWN, as_kernels_do
from harness.simulation.model_values import (
    ASKED,
    ASSUMED,
    EXAMPLES,
    PACKED,
    PADDED,
    UNPACKED,
    UNPADDED,
)  # fmt: skip
from methods.common.fakes import is_hollow

_ATEN = torch.ops.aten
_VALUE = _ATEN._local_scalar_dense.default
_NONZERO = _ATEN.nonzero.default
_UNIQUE = frozenset({_ATEN.unique_consecutive.default, _ATEN._unique2.default})
_BINCOUNT = _ATEN.bincount.default
_COPY = _ATEN._to_copy.default  # from a meta tensor to the host, as `tolist` does
_INDEX = _ATEN.index.Tensor
_LINSPACE = _ATEN.linspace.default
FEW = 512  # steps from one number to another that are remembered as long as the tensor
_ASKING = frozenset({_VALUE, _NONZERO, *_UNIQUE, _BINCOUNT, _COPY, _INDEX})
_FLASH = "transformers/modeling_flash_attention_utils.py"
_PROCESSORS = "transformers/generation/logits_process.py"
_GENERATION = "transformers/generation/utils.py"
# (end of the file's name, function) -> the value. The first frame outside torch decides.
VALUES: dict[tuple[str, str], Any] = {
    **model_values.VALUES,
    # Whether a mask is all ones, so that attention can do without it.
    ("transformers/masking_utils.py", "_ignore_causal_mask_sdpa"): UNPADDED,
    ("transformers/masking_utils.py", "_ignore_bidirectional_mask_sdpa"): UNPADDED,
    ("transformers/masking_utils.py", "flash_attention_mask"): UNPADDED,
    # Whether every row is one sequence, and whether the one row is several.
    ("transformers/masking_utils.py", "find_packed_sequence_indices"): UNPACKED,
    (_FLASH, "_flash_attention_forward"): PACKED,
    # Whether there is padding that no mask was given for, which only makes a warning.
    ("transformers/modeling_utils.py", "warn_if_padding_and_no_attention_mask"): False,
    # Whether the padding id ends texts, too, and whether it is a number: only a warning.
    (_GENERATION, "_prepare_special_tokens"): False,
    # The same of ids that end or begin an answer by force.
    (_PROCESSORS, "__init__"): False,
    # Whether prompts need no mask; before that, whether they are padded on the wrong side, which
    # only makes a warning.
    (_GENERATION, "generate"): UNPADDED,
    # No gradient overflowed, so the optimizer steps.
    ("torch/amp/grad_scaler.py", "<genexpr>"): 0.0,
    ("torch/amp/grad_scaler.py", "_maybe_opt_step"): 0.0,
    # The optimizer's step counter, from which it makes bias corrections.
    ("torch/optim/optimizer.py", "_get_value"): 2.0,
    # The same, and norms, which only scale the update.
    ("torch/optim/_adafactor.py", "_single_tensor_adafactor"): 2.0,
    # Which projections score lowest: how many freeze does not depend on it.
    ("methods/aflora/score.py", "lowest"): 0.0,
    # Whether a projection's score is below the threshold: the forecast's stages say what is frozen.
    ("methods/aflora/score.py", "below_threshold"): 0.0,
    **peft_answers.VALUES,
}
# The same where the function's own local variables have the answer.
FROM_LOCALS: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
    # Whether all answers are whole: where they have as many tokens as they may.
    (_GENERATION, "_sample"): lambda names: (
        names["input_ids"].shape[1] >= names["stopping_criteria"].max_length
    ),
    # How long the longest sequence is, of which none is taken to be padded (flash_package.py).
    (_FLASH, "_get_unpad_data"): lambda names: names["attention_mask"].shape[-1],
    (_FLASH, "_unpad_input"): lambda names: names["attention_mask"].shape[-1],
    # Whether some are not; and at the end, how many tokens there are.
    (_GENERATION, "_beam_search"): lambda names: (
        names["max_length"] if "output_length" in names or "max_generated_length" in names
        else names["cur_len"] < names["max_length"]
    ),
    **model_values.FROM_LOCALS,
    **peft_answers.FROM_LOCALS,
}  # fmt: skip
_ANY_VALUE = {**VALUES, **FROM_LOCALS}
# The same for the number of rows that `nonzero` finds, or of bins that `bincount` makes, from the
# shape of what it looks at and the local variables of the function that asks.
ROWS: dict[tuple[str, str], Callable[[torch.Size, dict[str, Any]], int | None]] = {
    # The same: all are tokens.
    (_FLASH, "_get_unpad_data"): lambda shape, names: shape[0],
    (_FLASH, "_unpad_input"): lambda shape, names: shape[0],
    # How many examples are in the row.
    (_FLASH, "prepare_fa_kwargs_from_position_ids"): lambda shape, names: names[EXAMPLES],
    **model_values.ROWS,
    **peft_answers.ROWS,
}
# The same for the number of distinct values: one, where a model only checks that all are equal.
DISTINCT = {**model_values.DISTINCT, **peft_answers.DISTINCT}
# Inside of functions that the tables know: what is asked here is not theirs.
_UNKNOWN = (_PROCESSORS,)
_STEP = "harness/training/step.py"  # asks itself in backward alone; in forward a model does
_NOT_CALLERS = ("/torch/", "/harness/metering/", "/harness/simulation/")


class UnknownValue(UserError):
    """Code reads from a tensor what no table says.

    Attributes:
        what: is read.
        place: file, line and function outside of torch; None where there is none.
    """

    def __init__(self, what: str, place: tuple[str, int, str] | None) -> None:
        asked = "{}:{} in {}".format(*place) if place else "torch"
        super().__init__(
            f"the forecast cannot know {what} that {asked} reads from a tensor; such code needs "
            "an entry in harness/simulation/answers.py"
        )
        self.what, self.place = what, place


class KnownAnswers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answer what the tables know, and refuse the rest.

    Open it inside the fake mode. Raises UnknownValue with the place of an unknown site.

    Attributes:
        padded: whether the mask of the batch that is next has zeros. A mask that the model makes
            for itself, such as BART's decoder does, has none.
        packed: examples in the rows of the batch that is next, where rows hold several.
        told_apart: whether the model has asked if rows hold several examples.
        assumed: what answers rest on that a real run need not keep to, as sentences without end.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.padded = True
        self.packed: int | None = None
        self.told_apart = False
        self.assumed: set[str] = set()
        self._full_masks = FullMasks()
        self._steps: dict[int, tuple[Tensor, tuple[Any, ...]]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at the operators whose outcome depends on values; run any other."""
        if func in OWN and is_hollow(args[0]):
            return OWN[func](*args, **(kwargs or {}))
        if func not in _ASKING or not is_hollow(args[0]) or not _asks(func, args):
            out = func(*args, **kwargs) if kwargs else func(*args)
            if func is _LINSPACE and out.numel() <= FEW:
                self._steps[out.untyped_storage()._cdata] = (out, args)
            self._full_masks.see(func, args, out)
            return as_kernels_do(func, out)
        if func is _COPY:
            if not args[0].is_meta or (kwargs or {}).get("device") != torch.device("cpu"):
                return func(*args, **kwargs) if kwargs else func(*args)
            answer = self._value(args[0], "values")
            return torch.tensor(answer, dtype=args[0].dtype).expand(args[0].shape).clone()
        if func is _VALUE:
            value = self._full_masks.value_of(args[0])
            if value is not None and args[0].dtype is torch.bool:
                return value
            known = self._steps.get(args[0].untyped_storage()._cdata)
            if known is not None:  # such as a model's probabilities of dropping its layers
                start, end, count = known[1][:3]
                return start + (end - start) * args[0].storage_offset() / max(count - 1, 1)
            answer = self._value(args[0], "a value")
            if answer is UNPADDED or answer is PADDED:
                return self._is_unpadded(args[0]) == (answer is UNPADDED)
            if answer is UNPACKED or answer is PACKED:
                self.told_apart = True
                return (self.packed is None) == (answer is UNPACKED)
            return answer[args[0].storage_offset()] if isinstance(answer, list) else answer
        if func is _INDEX:
            return func(args[0], [part for index in args[1] for part in self._without_mask(index)])
        if func in (_NONZERO, _BINCOUNT):
            rows = self._rows(args[0])
            size = (rows, args[0].dim()) if func is _NONZERO else (rows,)
            return args[0].new_empty(size, dtype=torch.int64)
        count = _answer(DISTINCT, "distinct values", lambda rule, names: rule)
        counts = args[0].new_empty((count,), dtype=torch.int64)
        return args[0].new_empty((count,)), counts, counts

    def _without_mask(self, index: Tensor | None) -> list[Tensor | None]:
        """Return positions in place of a boolean mask, one tensor for each of its dimensions."""
        if index is None or index.dtype is not torch.bool:
            return [index]
        rows = self._rows(index)
        return [index.new_empty((rows,), dtype=torch.int64) for _ in index.shape]

    def _value(self, asked: Tensor, what: str) -> Any:
        """Return what a tensor's value is by the tables."""
        beside = self._beside(asked)
        return _answer(_ANY_VALUE, what, lambda rule, names: (
            rule(names | beside) if callable(rule) else rule
        ))  # fmt: skip

    def _rows(self, asked: Tensor) -> int:
        """Return how many places of a tensor are not zero."""
        beside = self._beside(asked)
        rows: int = _answer(ROWS, "rows", lambda rule, names: rule(asked.shape, names | beside))
        return rows

    def _beside(self, asked: Tensor) -> dict[str, Any]:
        """Return what a rule gets beside a function's local variables."""
        return {ASKED: asked, ASSUMED: self.assumed, EXAMPLES: self.packed}

    def _is_unpadded(self, asked: Tensor) -> bool:
        return not self.padded or asked in self._full_masks


def _asks(func: Any, args: tuple[Any, ...]) -> bool:
    """Tell whether the outcome depends on values: an indexing's does if there is a mask in it."""
    if func is not _INDEX:
        return True
    return any(index is not None and index.dtype is torch.bool for index in args[1])


def _answer(table: dict[tuple[str, str], Any], what: str, ask: Callable[[Any, Any], Any]) -> Any:
    """Return what `ask` makes of the entry, and the local variables, of the innermost function.

    It is the one that the table has, and whose rule does not return None.
    """
    frame: Any = sys._getframe(1)
    asked: tuple[str, int, str] | None = None
    while frame is not None:
        file, function = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        if asked and file.endswith(_STEP):
            break
        for (end, name), rule in table.items():
            if name in (function, "*") and _ends(file, end):
                answer = ask(rule, _locals(frame))
                if answer is not None:
                    return answer
        if not asked and not any(part in file for part in _NOT_CALLERS):
            asked = (file, frame.f_lineno, function)
        if file.endswith(_UNKNOWN):
            break
        frame = frame.f_back
    raise UnknownValue(what, asked)


def _ends(file: str, end: str) -> bool:
    return fnmatch(file, f"*{end}") if "*" in end else file.endswith(end)


def _locals(frame: Any) -> dict[str, Any]:
    """Return a function's local variables, without keeping any of them alive.

    Up to Python 3.12 a frame keeps the dict that it gives away, and with it tensors that the
    function has long forgotten.
    """
    names = dict(frame.f_locals)
    if isinstance(frame.f_locals, dict):
        frame.f_locals.clear()
    return names
