"""What is compared: methods over weights of 16 or 4 bits, and the settings that each may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UserError
from harness.forecasting.cards import AMPERE, Card
from harness.models.attention import FLASH
from methods import REGISTRY, get_method
from methods.wording import nearest

FULL, QLORA, PEFT = "full", "qlora", "peft"
DEFAULT = ("full", "lora", "qlora")
RANK = 16

# What is searched, and how it is where nobody asks for anything else.
PLAIN: dict[str, Any] = {
    "optimizer": "adamw-fused",
    "optimizer_in_backward": False,
    "clip": 1.0,
    "gradient_checkpointing": False,
    "attention": "auto",
    "loss": "model",
}
# Values of one setting, or of several that go together.
Values = tuple[dict[str, Any], ...]
CHECKPOINTING: Values = ({"gradient_checkpointing": False}, {"gradient_checkpointing": True})
SDPA: Values = ({"attention": "auto"},)
SDPA_OR_FLASH: Values = ({"attention": "auto"}, {"attention": FLASH})
LOSSES: Values = ({"loss": "model"}, {"loss": "chunked"})
OWN_LOSS: Values = ({"loss": "model"},)
ADAPTERS_STEP: Values = ({"optimizer": "adamw-fused"},)
WHOLE_STEP: Values = (
    {"optimizer": "adamw-fused"},
    {"optimizer": "adamw-8bit"},
    {"optimizer": "adamw-paged-8bit"},
    {"optimizer": "adamw-8bit", "optimizer_in_backward": True, "clip": None},
)


@dataclass(frozen=True)
class Kind:
    """A method over weights of one type.

    Attributes:
        name: as users read it.
        method: in the registry.
        weights: how the base is stored, as people write it.
        options: of the method.
        train: what that is in a suite.
    """

    name: str
    method: str
    weights: str
    options: dict[str, Any] = field(hash=False)
    train: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"{self.name} {self.weights}"

    def axes(self, family: str, card: Card) -> list[Values]:
        """Return the values of every setting that is searched, the plain one first."""
        modern = card.capability >= AMPERE
        return [
            WHOLE_STEP if self.method == FULL else ADAPTERS_STEP,
            CHECKPOINTING,
            SDPA_OR_FLASH if modern else SDPA,
            LOSSES if family == "causal_lm" else OWN_LOSS,
        ]


def kinds_of(names: Sequence[str], rank: int, card: Card) -> list[Kind]:
    """Return the kinds that `--methods` names: every method over 16 bits, and over nf4.

    `qlora` is LoRA over nf4 alone; `peft:TYPE` a type of peft. A full fine-tuning has no 4 bits.

    Raises:
        UserError: there is no such method.
    """
    kinds: dict[tuple[str, str], Kind] = {}
    for name in names:
        method = "lora" if name == QLORA else name.partition(":")[0]
        options = _options(name, method, rank)
        for weights in ("nf4",) if name == QLORA else ("16", "nf4"):
            if (method, weights) != (FULL, "nf4"):
                kind = _kind(name, method, options, weights, card)
                kinds.setdefault((kind.name, kind.weights), kind)
    return list(kinds.values())


def _options(name: str, method: str, rank: int) -> dict[str, Any]:
    known = [each for each in REGISTRY.names() if each != PEFT]
    if method == PEFT and name != PEFT:
        return {"type": name.partition(":")[2].upper()}
    if method not in known or (method != name and name != QLORA):
        raise UserError(f"--methods {name}: {nearest(name, [*known, QLORA, 'peft:TYPE'])}")
    fields = get_method(method).model_fields
    options = {"r": rank, "targets": "all-linear"}
    given: dict[str, Any] = {key: value for key, value in options.items() if key in fields}
    if "over" in fields:
        given["over"] = {"lora": options}
    return given


def _kind(name: str, method: str, options: dict[str, Any], weights: str, card: Card) -> Kind:
    half = "bf16" if card.capability >= AMPERE else "fp16"
    shown = {QLORA: "lora"}.get(name, name)
    if weights == "nf4":
        train = {"precision": f"{half}-weights", "weights": "nf4", "double_quant": True}
        return Kind(shown, method, "nf4", options, train)
    if method == FULL and half == "fp16":
        # Weights of 16 bits with 5 of them an exponent lose what Adam adds; autocast keeps fp32.
        return Kind(shown, method, "fp32", options, {"precision": "fp16"})
    return Kind(shown, method, half, options, {"precision": f"{half}-weights"})
