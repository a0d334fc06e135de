"""Whether weights are those of the model that a config describes: told by headers alone.

Nothing of the weights is read for it: transformers loads tensors that take no memory, of the
shapes that the headers have, and reports what it found no use for and what it missed.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.weights import Entries

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FLOATS = {"F16", "BF16", "F32", "F64"}
# Constants that older versions of transformers saved beside the weights.
CONSTANTS = {
    "position_ids", "token_type_ids", "masked_bias", "inv_freq", "relative_position_index",
    "version",
}  # fmt: skip
# gpt2's causal mask, once a constant of the same kind.
_MASK = re.compile(r"(^|\.)(attn|attention|crossattention)\.bias$")
# Heads of pretraining that transformers has no class for: both of DeBERTaV3, from its authors.
HEADS = {"lm_predictions", "mask_predictions"}
LEGACY = {"gamma": "weight", "beta": "bias"}  # of LayerNorm, in checkpoints of before 2020


# A model, and what transformers reports: missing_keys, mismatched_keys, unexpected_keys.
Loaded = tuple[Any, dict[str, Any]]


class Fit:
    """Whether weights fit a model; made, it says nothing against them.

    Args:
        name: of the model, for errors.
        hollow: the model with its head, on the meta device.
        entries: of the weights' headers.
        dtype: of the weights as loaded.

    Raises:
        UserError: tensors are missing (other than a head's, which is new then), of another shape
            (other than a head's), of a kind that is no weight, there twice, or left over (other
            than a head's that this model does without, and constants).
    """

    def __init__(
        self, name: str, hollow: PreTrainedModel, entries: Entries, dtype: torch.dtype
    ) -> None:
        self.name, self.hollow, self.entries = name, hollow, entries
        self._refuse_doubles()
        self._refuse_kinds()
        self._refuse_mismatched(self._other_shapes())
        self._refuse_larger()
        self.model, facts = _rehearse(hollow, entries, dtype)
        self._refuse_missing(facts["missing_keys"])
        self._refuse_mismatched(facts["mismatched_keys"])
        self._refuse_left_over(facts["unexpected_keys"])

    def refuse_untied(self, model: PreTrainedModel) -> None:
        """Refuse the model, loaded, if tensors that its config ties have different values.

        Raises:
            UserError: naming one of them.
        """
        shared = {name for name, _ in self.model.named_parameters()}
        # What the hollow one was untied from, since its config.json says so (tying.py).
        own = {name for name, _ in self.hollow.named_parameters()}
        shared |= own - set(self.hollow.all_tied_weights_keys)
        untied = sorted({name for name, _ in model.named_parameters()} - shared)
        if untied:
            raise UserError(
                f"model {self.name}: its config ties {untied[0]} to another tensor, and its "
                "weights have both, with different values: set tie_word_embeddings to false in "
                "config.json, or take the weights that belong to it"
            )

    def _refuse_doubles(self) -> None:
        names = Counter(self._plain(name) for name in self.entries)
        twice = [name for name in self.entries if names[self._plain(name)] > 1]
        if twice:
            raise UserError(
                f"model {self.name}: {twice[0]} and {twice[1]} in its weights are one tensor under "
                "two names: which would be loaded?"
            )

    def _plain(self, name: str) -> str:
        """Return the name without the base model's prefix, and as of today."""
        stem, dot, last = name.removeprefix(f"{self.hollow.base_model_prefix}.").rpartition(".")
        return stem + dot + (LEGACY.get(last, last) if "LayerNorm" in stem else last)

    def _refuse_kinds(self) -> None:
        """Refuse integers where weights are, which would be taken for their values."""
        state = self.hollow.state_dict().items()
        integers = {name.rpartition(".")[2] for name, t in state if not t.is_floating_point()}
        for name, entry in self.entries.items():
            last = name.rpartition(".")[2]
            constant = last in CONSTANTS or _MASK.search(name)
            if (entry.dtype in FLOATS) == (last in integers) and not constant:
                wanted = "integers" if last in integers else "floating-point numbers of 16 bits up"
                raise UserError(
                    f"model {self.name}: {name} is {entry.dtype} in its weights, where {wanted} "
                    "are wanted: they are quantised, or of another model"
                )

    def _other_shapes(self) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
        """Compare what has the same name; older weights of some models have others."""
        there = {self._plain(name): entry.shape for name, entry in self.entries.items()}
        here = {name: tuple(t.shape) for name, t in self.hollow.state_dict().items()}
        return [
            (name, there[plain], shape)
            for name, shape in here.items()
            if there.get(plain := self._plain(name), shape) != shape
        ]

    def _refuse_larger(self) -> None:
        """Refuse a model beyond all comparison: what is missing takes memory in a rehearsal."""
        here = sum(parameter.numel() for parameter in self.hollow.base_model.parameters())
        there = sum(math.prod(entry.shape) for entry in self.entries.values())
        if here > 2 * there:
            raise UserError(
                f"model {self.name}: by its config it has {here:,} parameters, and its weights are "
                f"{there:,} numbers: they belong to different models"
            )

    def _refuse_missing(self, missing: Iterable[str]) -> None:
        """Only a head, or the whole pooler in front of one, may be absent from the weights."""
        from methods import surgery

        absent = set(missing)
        pooler = set(surgery.pooler_parameters(self.hollow))
        new = set(surgery.head_parameters(self.hollow)) | (pooler if pooler <= absent else set())
        lost = sorted(absent - new)
        if lost:
            raise UserError(
                f"model {self.name}: its weights lack {len(lost)} tensors of a "
                f"{type(self.hollow).__name__}, such as {lost[0]}: they belong to another "
                "architecture"
            )

    def _refuse_mismatched(self, mismatched: Iterable[Any]) -> None:
        """Only a head may have another size in the weights; it is drawn anew (`redrawn`)."""
        from methods import surgery

        head = surgery.head_parameters(self.hollow)
        wrong = sorted(entry for entry in mismatched if entry[0] not in head)
        if wrong:
            name, there, here = wrong[0]
            raise UserError(
                f"model {self.name}: {name} is {tuple(there)} in its weights and {tuple(here)} by "
                f"its config ({len(wrong)} tensors differ): they belong to different models"
            )

    def _refuse_left_over(self, unexpected: Iterable[str]) -> None:
        """Only heads of other tasks, and constants, may be left over."""
        left = {
            name for name in unexpected
            if name.split(".")[0] not in HEADS and name.rpartition(".")[2] not in CONSTANTS
        }  # fmt: skip
        strange = sorted(left - self._heads() if left else left)
        if strange:
            raise UserError(
                f"model {self.name}: its weights have {len(strange)} tensors that a "
                f"{type(self.hollow).__name__} of its config has no place for, such as "
                f"{strange[0]}: more layers than config.json says, an adapter, or another "
                "architecture"
            )

    def _heads(self) -> set[str]:
        """Return what the classes for other tasks have beside this base model."""
        body = {self._plain(name) for name in self.hollow.base_model.state_dict()}
        return {
            name
            for kin in _kin(self.hollow)
            for name in kin.state_dict()
            if name.removeprefix(f"{kin.base_model_prefix}.") not in body
        }


def _rehearse(hollow: PreTrainedModel, entries: Entries, dtype: torch.dtype) -> Loaded:
    """Load tensors of the headers' shapes that have one element in memory each."""
    import torch
    from transformers.initialization import no_init_weights

    tensors = {
        name: torch.zeros((), dtype=dtype if e.dtype in FLOATS else torch.int64).expand(e.shape)
        for name, e in entries.items()
    }
    with no_init_weights():
        return load_tensors(hollow, tensors, dtype)


def load_tensors(hollow: PreTrainedModel, tensors: Mapping[str, Any], dtype: torch.dtype) -> Loaded:
    """Return a model of this one's class and config with these tensors, and the report on them.

    transformers is told of no folder: neither an adapter in it nor another index or file can
    become part of the model.
    """
    loaded: Loaded = type(hollow).from_pretrained(
        None,
        config=hollow.config,
        state_dict=dict(tensors),
        dtype=dtype,
        attn_implementation=hollow.config._attn_implementation,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # of a head for other classes, and of nothing else
    )
    return loaded


def _kin(hollow: PreTrainedModel) -> Iterator[PreTrainedModel]:
    """Build the other models of this one's config that its module has, without weights."""
    import torch
    from transformers import PreTrainedModel
    from transformers.initialization import no_init_weights

    classes: list[tuple[str, Any]] = inspect.getmembers(
        sys.modules[type(hollow).__module__],
        lambda member: inspect.isclass(member) and issubclass(member, PreTrainedModel),
    )
    for _, kind in classes:
        if kind.config_class is not type(hollow.config):
            continue
        try:
            with torch.device("meta"), no_init_weights():
                yield kind(copy.deepcopy(hollow.config))
        except (TypeError, ValueError):
            continue  # its parts, and tasks that need another config, have no heads to tell of
