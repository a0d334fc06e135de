"""What transformers' models ask of values in a training step, and what a real run would answer.

Keys are (end of the file's name, function); `*` stands for any part of a name. A rule may return
None where a place asks something else than it knows: then the forecast says so.

Assumed, and told under a forecast: experts that are run one by one get equally many tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

from torch import Size, Tensor

Names = dict[str, Any]
# The answer is whether the batch has no padding, or has some.
UNPADDED, PADDED = object(), object()
# The same of examples that are packed into rows.
UNPACKED, PACKED = object(), object()
# What a rule finds among a function's local variables beside them: the tensor that is asked, and
# the set to which it adds what it assumes.
ASKED, ASSUMED = "<asked>", "<assumed>"
EXAMPLES = "<examples>"  # that are packed into the batch's rows
BALANCED = "assumed: every expert gets equally many tokens"
NONE_DROPPED = "assumed: layerdrop, which the config asks for, leaves out no layer"

_ANY = "transformers/models/*/modeling_*.py"


def _shares(total: int, count: int, index: int) -> int:
    """Return what the `index`-th of `count` gets of `total`, as evenly as it goes."""
    return total * (index + 1) // count - total * index // count


def _expert(names: Names) -> int | None:
    """Return which expert is next: its row among those that are hit, which are all of them."""
    for name in ("expert_idx", "expert_idx_tensor"):
        if isinstance(names.get(name), Tensor):
            return int(names[name].storage_offset())
    return None


def _of_forward(names: Names) -> bool | int | None:
    """Return whether a layer is dropped, which none is; or which expert is next."""
    drawn = names.get("dropout_probability")
    if isinstance(drawn, Tensor) and names[ASKED] is not drawn:
        names[ASSUMED].add(NONE_DROPPED)
        return False
    return _expert(names)


def _longformer(names: Names) -> int:
    """Return how many tokens look at all others, or how many probabilities are not of those."""
    probabilities, most = names.get("attn_probs"), names.get("max_num_global_attn_indices")
    if probabilities is not None and names[ASKED] is not most:
        return int(probabilities.shape[-1]) - 1
    return 1


def _jetmoe(names: Names) -> list[int]:
    count = names["self"].num_experts
    names[ASSUMED].add(BALANCED)
    return [_shares(names["top_k_indices"].numel(), count, i) for i in range(count)]


VALUES: dict[tuple[str, str], Any] = {
    # Whether a mask is all ones, so that a recurrence can do without it.
    ("transformers/masking_utils.py", "create_recurrent_attention_mask"): UNPADDED,
    # Whether the arguments of a distribution are in its range, as Gemma 3n's are.
    ("torch/distributions/distribution.py", "_validate_sample"): True,
    ("torch/distributions/distribution.py", "__init__"): True,
    # Whether a padding mask is needed.
    ("models/fsmt/modeling_fsmt.py", "make_padding_mask"): PADDED,
    # The longest text, which is held against the number of positions.
    ("models/xlm/modeling_xlm.py", "forward"): 0,
    ("models/xlm/modeling_xlm.py", "get_masks"): 0,
    ("models/flaubert/modeling_flaubert.py", "forward"): 0,
    ("models/flaubert/modeling_flaubert.py", "get_masks"): 0,
    # Whether the decoder's tokens are tokens.
    ("models/prophetnet/modeling_prophetnet.py", "_shift_right"): True,
    # Whether any token looks at all others: the first of a text does.
    ("models/longformer/modeling_longformer.py", "forward"): True,
    ("models/led/modeling_led.py", "forward"): False,
}
FROM_LOCALS: dict[tuple[str, str], Callable[[Names], Any]] = {
    ("models/jetmoe/modeling_jetmoe.py", "forward"): _jetmoe,
    (_ANY, "forward"): _of_forward,
    ("models/longformer/modeling_longformer.py", "*"): _longformer,
    # Probabilities of dropping a layer, from 0 to the config's in even steps.
    ("models/bit/modeling_bit.py", "__init__"): lambda names: (
        names["config"].drop_path_rate
        * names[ASKED].storage_offset()
        / max(sum(names["config"].depths) - 1, 1)
    ),
    # After how many layers each stage ends.
    ("models/hiera/modeling_hiera.py", "__init__"): lambda names: [
        *accumulate(names["config"].depths)
    ],
}


def _rows(shape: Size, names: Names) -> int | None:
    """Return the rows that a model's own forward pass finds."""
    if "expert_mask" in names:
        names[ASSUMED].add(BALANCED)
    if "expert_hit" in names:  # those of the expert that is next
        count = names["expert_mask"].shape[0]
        return _shares(shape.numel(), count, _expert(names) or 0)
    if "expert_mask" in names:  # experts that are hit: all
        return shape[0]
    if "eos_mask" in names:  # one end-of-text token in each example
        return shape[0]
    # Tokens that are no padding. All of them: how much there is of it is not known.
    return shape.numel() if "shift_attention_mask" in names else None


ROWS: dict[tuple[str, str], Callable[[Size, Names], int | None]] = {
    (_ANY, "forward"): _rows,
    # All texts are of one language.
    ("models/xmod/modeling_xmod.py", "lang_adapter"): lambda shape, names: (
        0 if names["adapter_idx"] else shape.numel()
    ),
    # One such token in each example, and no example that has fewer than another.
    ("models/longformer/modeling_longformer.py", "_get_global_attn_indices"): lambda shape, names: (
        0 if "is_local_index_global_attn_nonzero" in names else shape[0]
    ),
    # In backward: tokens (B, S) that stand for an image, which texts have none of; texts (B,) of
    # the one language.
    ("harness/training/step.py", "run"): lambda shape, names: (
        shape.numel() if len(shape) == 1 else 0
    ),
}
# The number of distinct values: one, where a model only checks that all are equal.
DISTINCT = {(_ANY, "forward"): 1}
