"""The shape of a batch: what memory and FLOPs of a step depend on."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import PositiveInt


class BatchShape(NamedTuple):
    """One batch: `examples` inputs padded to `length` tokens.

    Attributes:
        target_length: tokens of the decoder's labels, where a task has labels of their own length.
        padded: some of the inputs are shorter than `length`, so that their attention mask has zeros
            and attention cannot do without it.
        packed: whole examples in all `examples` rows together, where rows are packs of examples.
    """

    examples: PositiveInt
    length: PositiveInt
    target_length: PositiveInt | None = None
    padded: bool = True
    packed: PositiveInt | None = None

    @property
    def tokens(self) -> int:
        """Padded tokens, of inputs and labels."""
        return self.examples * (self.length + (self.target_length or 0))

    @property
    def brief(self) -> tuple[int, ...]:
        """The numbers that say something, for records and tables."""
        sizes = (self.examples, self.length, self.target_length)
        return tuple(number for number in sizes if number is not None)
