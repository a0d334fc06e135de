"""What a run asks of a model with bottleneck adapters in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import surgery
from methods.base import Handle
from methods.bottleneck.layer import Bottleneck
from methods.common.in_place import InPlaceHandle

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(kw_only=True)
class BottleneckHandle(Handle):
    """A model with bottlenecks in it.

    Attributes:
        norms: the LayerNorms that train, if any do.
    """

    norms: InPlaceHandle | None = None
    can_skip: bool = True

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the copies of LayerNorms that `prepare_to_skip` made."""
        return {**self.buffers, **(self.norms.overhead() if self.norms else {})}

    def prepare_to_skip(self) -> None:
        """Copy the LayerNorms that train; before they have moved, `skip` needs no copy."""
        if self.norms:
            self.norms.prepare_to_skip()

    def skip(self, layers: Collection[int] | None) -> None:
        """Run these layers as the base model has them."""
        for adapter, layer in self._adapters():
            adapter.skipped = layers is None or layer in layers
        if self.norms and self.norms.can_skip:
            self.norms.skip(layers)

    def prepare_to_fold(self) -> None:
        """Refuse.

        Raises:
            ValueError: always.
        """
        raise ValueError("a non-linear adapter has no merged form")

    def _adapters(self) -> Iterator[tuple[Bottleneck, int | None]]:
        names = surgery.layer_names(self.model)
        for name, module in self.model.named_modules():
            if isinstance(module, Bottleneck):
                yield module, surgery.layer_of(name, names)
