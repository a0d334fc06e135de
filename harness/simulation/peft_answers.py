"""What peft's code asks of tensors' values, and the answers: peft's part of answers.py's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# (end of the file's name, function) -> the value.
VALUES: dict[tuple[str, str], Any] = {
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
    # How many singular values are large: at least as many as the rank that the options allow.
    ("peft/tuners/adamss/layer.py", "update_layer"): 2**31,
    # Whether any learned token has moved away from its start.
    ("peft/tuners/cpt/model.py", "get_projection"): True,
}
# The same where the function's own local variables have the answer.
FROM_LOCALS: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
    # The score up to which subspaces rest, and then each one's score: all of them train on.
    ("peft/tuners/adamss/model.py", "_global_mask_to_target"): lambda names: (
        1.0 if "threshold" in names else 0.0
    ),
}
# The same for the number of rows that `nonzero` finds, or of bins that `bincount` makes.
ROWS: dict[tuple[str, str], Callable[[torch.Size, dict[str, Any]], int]] = {
    # Every learned token has moved.
    ("peft/tuners/cpt/model.py", "get_projection"): lambda shape, names: shape[0],
    # Every token counts: no label is left out.
    ("peft/tuners/cpt/model.py", "calculate_loss"): lambda shape, names: shape.numel(),
    ("peft/peft_model.py", "_cpt_forward"): lambda shape, names: shape.numel(),
    # No frequency lies outside of the padded matrix.
    ("peft/tuners/waveft/layer.py", "get_delta_weight"): lambda shape, names: shape[0],
    # As many weights as a LoRA of this rank has.
    ("peft/tuners/shira/layer.py", "update_layer"): lambda shape, names: names["num_shira_weight"],
    # One for each value of the shared vector.
    ("peft/tuners/unilora/model.py", "_assign_unilora_indices_and_scales"): (
        lambda shape, names: names["config"].theta_d_length
    ),
}  # fmt: skip
# The same for the number of distinct values.
DISTINCT = {
    # A batch is one example of each text: all its tokens are of one type.
    ("peft/tuners/cpt/model.py", "calculate_loss"): 1,
}
