"""The device that a forecast is for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

# In errors, which cards that choose alike share; whoever knows which was asked for names it.
THIS_CARD = "this card"


class Target(BaseModel):
    """What decides over kernels: the kind of device and its compute capability."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cuda", "cpu"]
    capability: tuple[int, int] = (0, 0)

    @property
    def rounding(self) -> int:
        """Bytes to which the allocator rounds every request."""
        return 512 if self.kind == "cuda" else 1

    @property
    def in_words(self) -> str:
        """What an error calls it: alike cards share their errors, so that none names a card."""
        return "cpu" if self.kind == "cpu" else THIS_CARD

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"sm{self.capability[0]}{self.capability[1]}"


CPU = Target(kind="cpu")
