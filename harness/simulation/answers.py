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
from harness.simulation.full_masks import FullMasks
from harness.simulation.layouts import as_kernels_do

_ATEN = torch.ops.aten
_VALUE = _ATEN._local_scalar_dense.default
_NONZERO = _ATEN.nonzero.default
_UNIQUE = _ATEN.unique_consecutive.default
_COPY = _ATEN._to_copy.default  # from a meta tensor to the host, as `tolist` does
_INDEX = _ATEN.index.Tensor
_ASKING = frozenset({_VALUE, _NONZERO, _UNIQUE, _COPY, _INDEX})
UNPADDED = object()  # the answer is whether the batch has no padding

_PROCESSORS = "transformers/generation/logits_process.py"
_GENERATION = "transformers/generation/utils.py"
# (end of the file's name, function) -> the value. The first frame outside torch decides.
VALUES: dict[tuple[str, str], Any] = {
    # Whether a mask is all ones, so that attention can do without it.
    ("transformers/masking_utils.py", "_ignore_causal_mask_sdpa"): UNPADDED,
    ("transformers/masking_utils.py", "_ignore_bidirectional_mask_sdpa"): UNPADDED,
    # Whether every row is one sequence: nothing here packs several into one.
    ("transformers/masking_utils.py", "find_packed_sequence_indices"): True,
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
    # Where a permutation puts a row; the matrix is as large wherever it is.
    ("peft/tuners/boft/layer.py", "perm2mat"): 0,
    # Dropout of whole modules is off, and a draw from [0, 1) is above a probability of 0.
    ("peft/tuners/loha/layer.py", "forward"): True,
    ("peft/tuners/lokr/layer.py", "forward"): True,
    # Nothing is infinite until a vector bank is pruned after training.
    ("peft/tuners/vblora/layer.py", "_get_low_rank_matrix"): False,
    ("peft/tuners/vblora/layer.py", "_get_lora_matrices"): False,
    # The threshold under which importance scores are cut, and the ranks that stay: all of them.
    ("peft/tuners/adalora/layer.py", "mask_to_budget"): 1.0,
    # Which projections score lowest: how many freeze does not depend on it.
    ("methods/aflora/score.py", "lowest"): 0.0,
    # Whether a projection's score is below the threshold: the forecast's stages say what is frozen.
    ("methods/aflora/score.py", "below_threshold"): 0.0,
    # Whether any learned token has moved away from its start.
    ("peft/tuners/cpt/model.py", "get_projection"): True,
}
# The same where the function's own local variables have the answer.
FROM_LOCALS: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
    # Whether all answers are whole: where they have as many tokens as they may.
    (_GENERATION, "_sample"): lambda names: (
        names["input_ids"].shape[1] >= names["stopping_criteria"].max_length
    ),
    # Whether some are not; and at the end, how many tokens there are.
    (_GENERATION, "_beam_search"): lambda names: (
        names["max_length"] if "output_length" in names or "max_generated_length" in names
        else names["cur_len"] < names["max_length"]
    ),
}  # fmt: skip
# The same for the number of rows that `nonzero` finds, from the shape of what it looks at and the
# local variables of the function that asks.
ROWS: dict[tuple[str, str], Callable[[torch.Size, dict[str, Any]], int]] = {
    # One end-of-text token per example.
    ("transformers/models/bart/modeling_bart.py", "forward"): lambda shape, names: shape[0],
    # Every learned token has moved.
    ("peft/tuners/cpt/model.py", "get_projection"): lambda shape, names: shape[0],
    ("peft/peft_model.py", "_cpt_forward"): lambda shape, names: shape.numel(),
    # No frequency lies outside of the padded matrix.
    ("peft/tuners/waveft/layer.py", "get_delta_weight"): lambda shape, names: shape[0],
    # As many weights as a LoRA of this rank has.
    ("peft/tuners/shira/layer.py", "update_layer"): lambda shape, names: names["num_shira_weight"],
}
# The same for the number of distinct values: one, where a model only checks that all are equal.
DISTINCT = {("transformers/models/bart/modeling_bart.py", "forward"): 1}
# Inside of functions that the tables know: what is asked here is not theirs.
_UNKNOWN = (_PROCESSORS,)
_NOT_CALLERS = ("/torch/", "/harness/metering/", "/harness/simulation/")


class KnownAnswers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answer what the tables know, and refuse the rest.

    Open it inside the fake mode. Raises UserError with file, line and function of an unknown site.

    Attributes:
        padded: whether the mask of the batch that is next has zeros. A mask that the model makes
            for itself, such as BART's decoder does, has none.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.padded = True
        self._full_masks = FullMasks()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at the operators whose outcome depends on values; run any other."""
        if func not in _ASKING or not _is_hollow(args[0]) or not _asks(func, args):
            out = func(*args, **kwargs) if kwargs else func(*args)
            self._full_masks.see(func, args, out)
            return as_kernels_do(func, out)
        if func is _COPY:
            if not args[0].is_meta or (kwargs or {}).get("device") != torch.device("cpu"):
                return func(*args, **kwargs) if kwargs else func(*args)
            answer, _ = _answer(VALUES, "values")
            return torch.full(args[0].shape, answer, dtype=args[0].dtype)
        if func is _VALUE:
            answer, names = _answer({**VALUES, **FROM_LOCALS}, "a value")
            if callable(answer):
                return answer(names)
            return self._is_unpadded(args[0]) if answer is UNPADDED else answer
        if func is _INDEX:
            return func(args[0], [part for index in args[1] for part in _without_mask(index)])
        if func is _NONZERO:
            rule, names = _answer(ROWS, "rows")
            size = (rule(args[0].shape, names), args[0].dim())
            return args[0].new_empty(size, dtype=torch.int64)
        count, _ = _answer(DISTINCT, "distinct values")
        counts = args[0].new_empty((count,), dtype=torch.int64)
        return args[0].new_empty((count,)), counts, counts

    def _is_unpadded(self, asked: Tensor) -> bool:
        return not self.padded or asked in self._full_masks


def _without_mask(index: Tensor | None) -> list[Tensor | None]:
    """Return positions in place of a boolean mask, one tensor for each of its dimensions."""
    if index is None or index.dtype is not torch.bool:
        return [index]
    rule, names = _answer(ROWS, "rows")
    rows = rule(index.shape, names)
    return [index.new_empty((rows,), dtype=torch.int64) for _ in index.shape]


def _is_hollow(tensor: Tensor) -> bool:
    """Tell a tensor without values from a real one on the host."""
    return isinstance(tensor, FakeTensor) or tensor.is_meta


def _asks(func: Any, args: tuple[Any, ...]) -> bool:
    """Tell whether the outcome depends on values: an indexing's does if there is a mask in it."""
    if func is not _INDEX:
        return True
    return any(index is not None and index.dtype is torch.bool for index in args[1])


def _answer(table: dict[tuple[str, str], Any], what: str) -> tuple[Any, dict[str, Any]]:
    """Return the entry of the innermost function that the table has, and its local variables."""
    frame: Any = sys._getframe(1)
    asked = ""
    while frame is not None:
        file, function = frame.f_code.co_filename.replace("\\", "/"), frame.f_code.co_name
        for (end, name), answer in table.items():
            if name == function and file.endswith(end):
                return answer, _locals(frame)
        if not asked and not any(part in file for part in _NOT_CALLERS):
            asked = f"{file}:{frame.f_lineno} in {function}"
        if file.endswith(_UNKNOWN):
            break
        frame = frame.f_back
    raise UserError(
        f"the forecast cannot know {what} that {asked or 'torch'} reads from a tensor; such code "
        "needs an entry in harness/simulation/answers.py"
    )


def _locals(frame: Any) -> dict[str, Any]:
    """Return a function's local variables, without keeping any of them alive.

    Up to Python 3.12 a frame keeps the dict that it gives away, and with it tensors that the
    function has long forgotten.
    """
    names = dict(frame.f_locals)
    if isinstance(frame.f_locals, dict):
        frame.f_locals.clear()
    return names
