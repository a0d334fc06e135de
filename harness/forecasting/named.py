"""Cards by what their driver calls them."""

from __future__ import annotations

import re

from harness.forecasting.cards import CARDS, Card

WITHIN = 0.06  # share by which a card's memory may differ from that of the card of its name
MAKERS = re.compile(r"\b(nvidia|geforce|tesla)\b|-(?=sxm|pcie)")
# Other chips and boards under a card's name: slower, or of another generation.
OTHERS = {"laptop", "max", "ada", "pro", "generation", "nvl"}


def card_named(gpu: str, memory: int) -> Card | None:
    """Return the card that a driver calls so; None for one that is not known, such as a laptop's.

    Args:
        gpu: such as `NVIDIA GeForce RTX 4090`, `NVIDIA A100-SXM4-80GB`, `Tesla T4`.
        memory: bytes that it has; they tell cards of one name apart.
    """
    words = MAKERS.sub(" ", gpu.lower()).split()
    if OTHERS & set(words) or ("pcie" in words and "a100" not in words):
        return None
    if words[:1] == ["rtx"]:  # `rtx 4090` is `rtx4090` here, and `rtx a6000` is `a6000`
        words = ["rtx" * words[1].isdecimal() + words[1], *words[2:]] if words[1:] else words
    name = "".join(words[:1]) + "ti" * ("ti" in words) + "-super" * ("super" in words)
    sizes = re.compile(rf"{re.escape(name)}(-\d+)?")
    alike = [card for card in CARDS.values() if sizes.fullmatch(card.name)]
    near = [card for card in alike if abs(card.usable - memory) < WITHIN * card.usable]
    return min(near, key=lambda card: abs(card.usable - memory), default=None)
