"""What can be taken out of a transformer layer in one piece: attention heads and FFN channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from methods import surgery
from methods.wording import nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

# By family: into how many matrices the groups of the first attention layer repeat.
_FUSED = {"bert": 1, "roberta": 1, "deberta": 1, "gpt2": 3, "llama": 1, "vit": 1}


@dataclass(frozen=True)
class Member:
    """A linear layer that the groups of a set run through.

    Attributes:
        name: of the layer in the model; adapters may be around it.
        dim: of its (d_out, d_in) matrix, along which groups lie side by side: 0, 1.
        parts: how often the row of groups repeats; 3 in GPT-2's fused query, key and value.
        scored: has a part in a group's importance.
    """

    name: str
    dim: Literal[0, 1]
    parts: int = 1
    scored: bool = True


@dataclass(frozen=True)
class GroupSet:
    """The heads, or the feed-forward channels, of one transformer layer.

    Every group has an equal, contiguous share of each member's rows or columns. Of grouped-query
    attention a group is a key/value head with all of its query heads.

    Attributes:
        layer: index of the transformer layer.
        kind: heads or channels.
        count: of groups in the model as it was built.
        members: the layers before (rows) and behind (columns) what a group computes.
        attention: the module that knows how many heads there are; empty for channels.
    """

    layer: int
    kind: Literal["heads", "channels"]
    count: int
    members: tuple[Member, ...]
    attention: str = ""

    @property
    def name(self) -> str:
        """Short name, such as `3.heads`."""
        return f"{self.layer}.{self.kind}"


def group_sets(model: nn.Module) -> list[GroupSet]:
    """Return the heads and the channels of every layer, from the lowest layer up.

    Outputs of a group that are all 0 must reach nothing behind it: the activation maps 0 to 0, as
    GELU, ReLU and SiLU do.

    Raises:
        ValueError: the family's heads cannot be taken out one by one. BART has two attentions in a
            decoder layer, Swin a table of positions per head.
    """
    family = surgery.family(model)
    if family not in _FUSED:
        raise ValueError(f"heads of {family} models cannot be pruned; {nearest(family, _FUSED)}")
    config: Any = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    sets = []
    for index, own in enumerate(surgery.linears(model)):
        around = f"{own.layer}.{own.attention[0].rpartition('.')[0]}"
        projections = [name for name in own.attention if ".pos_" not in name]
        members = _members(own.layer, projections, _FUSED[family]) + _positions(model, around)
        sets.append(GroupSet(index, "heads", heads, members, around))
        members = _members(own.layer, own.ffn)
        rows = surgery.linear_shape(model.get_submodule(members[0].name))[1]
        sets.append(GroupSet(index, "channels", rows, members))
    return sets


def _members(layer: str, names: Sequence[str], parts: int = 1) -> tuple[Member, ...]:
    """Return a block's linear layers; the last one reads what the others put out."""
    *before, behind = (f"{layer}.{name}" for name in names)
    return (*(Member(name, 0, parts) for name in before), Member(behind, 1))


def _positions(model: nn.Module, attention: str) -> tuple[Member, ...]:
    """Return DeBERTa's own projections of relative positions, where keys do not share theirs."""
    child_names = {name for name, _ in model.get_submodule(attention).named_children()}
    names = [name for name in ("pos_key_proj", "pos_query_proj") if name in child_names]
    return tuple(Member(f"{attention}.{name}", 0, scored=False) for name in names)


def positions(kept: Tensor, count: int, size: int, parts: int) -> Tensor:
    """Return which of `size` rows belong to the groups `kept` (ascending indices below `count`)."""
    import torch

    width = size // (parts * count)
    starts = torch.arange(parts, device=kept.device)[:, None] * count + kept
    return (starts[..., None] * width + torch.arange(width, device=kept.device)).flatten()
