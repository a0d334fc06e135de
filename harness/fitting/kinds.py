"""What is compared: methods over weights of 16 or 4 bits, and the settings that each may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError
from harness.forecasting.cards import AMPERE, Card, have_bf16
from harness.models.attention import FLASH
from harness.suite.settings import TrainSettings
from methods import REGISTRY, get_method
from methods.wording import first_mistake, nearest

FULL, QLORA, PEFT = "full", "qlora", "peft"
DEFAULT = ("lora", "qlora", "full")
ON_CPU = ("lora", "full")
# What is searched, and how it is where nobody asks for anything else.
PLAIN: dict[str, Any] = {
    "optimizer": "adamw-fused",
    "optimizer_in_backward": False,
    "clip": 1.0,
    "gradient_checkpointing": False,
    "attention": "auto",
    "loss": "model",
}
# Of a full fine-tuning, whose states and gradients are as large as its model; adapters' are not.
WHOLE_STEP: tuple[dict[str, Any], ...] = (
    {"optimizer": "adamw-8bit"},
    {"optimizer": "adamw-paged-8bit"},
    {"optimizer": "adamw-8bit", "optimizer_in_backward": True, "clip": None},
    {"optimizer": "adamw-paged-8bit", "optimizer_in_backward": True, "clip": None},
)


@dataclass(frozen=True)
class Kind:
    """A method over weights of one type.

    Attributes:
        name: as users read it.
        method: in the registry.
        weights: how the base is stored, as people write it.
        options: of the method.
        train: its settings that are not searched, as a suite has them.
        plain: those that are searched, where nothing is changed.
        passes: of a step, where nothing is changed.
    """

    name: str
    method: str
    weights: str
    options: dict[str, Any] = field(hash=False)
    train: dict[str, Any] = field(default_factory=dict, hash=False)
    plain: dict[str, Any] = field(default_factory=lambda: dict(PLAIN), hash=False)
    passes: int = 1

    @property
    def title(self) -> str:
        """Name in tables."""
        return f"{self.name} {self.weights}"

    def axes(self, family: str, card: Card) -> list[list[dict[str, Any]]]:
        """Return the values of every setting that is searched, the plain one first."""
        settings = TrainSettings(**self.train)
        flash = card.capability >= AMPERE and settings.dtypes.compute in {"bf16", "fp16"}
        chunks = family == "causal_lm" and "cross_entropy" not in settings.liger_kernels
        packed = self.method == FULL and card.threads is None
        return [
            self._axis(*(WHOLE_STEP if packed else ())),
            self._axis({"gradient_checkpointing": True}),
            self._axis(*([{"attention": FLASH}] if flash else [])),
            self._axis(*([{"loss": "chunked"}] if chunks else [])),
        ]

    def _axis(self, *others: dict[str, Any]) -> list[dict[str, Any]]:
        """Return nothing, which leaves what is plain, and what else may be."""
        return [{}, *(each for each in others if not each.items() <= self.plain.items())]


def kinds_of(names: Sequence[str], rank: int, card: Card) -> list[Kind]:
    """Return the kinds that `--methods` names: every method over 16 bits, and over nf4.

    `qlora` is LoRA over nf4 alone; `peft:TYPE` a type of peft. A full fine-tuning has no 4 bits,
    and neither has a CPU: packages' kernels there are not known.

    Raises:
        UserError: there is no such method.
    """
    kinds: dict[tuple[str, str], Kind] = {}
    for name in names:
        method = "lora" if name == QLORA else name.partition(":")[0]
        options = _options(name, method, rank)
        if name == QLORA and card.threads is not None:
            raise UserError(f"--methods {name}: on a CPU nothing is searched over 4 bits; lora")
        for weights in ("nf4",) if name == QLORA else ("16", "nf4"):
            if weights == "16" or (method != FULL and card.threads is None):
                kind = _kind(name, method, options, weights, card)
                kinds.setdefault((kind.name, kind.weights), kind)
    return list(kinds.values())


def _options(name: str, method: str, rank: int) -> dict[str, Any]:
    known = [each for each in REGISTRY.names() if each != PEFT]
    if method == PEFT and name != PEFT:
        return _allowed(name, method, {"type": name.partition(":")[2].upper()})
    if method not in known or (method != name and name != QLORA):
        allowed = [*known, QLORA, "peft:TYPE"]
        raise UserError(f"--methods {name}: unknown method; {nearest(name, allowed)}")
    fields = get_method(method).model_fields
    options = {"r": rank, "targets": "all-linear"}
    given: dict[str, Any] = {key: value for key, value in options.items() if key in fields}
    if "over" in fields:
        given["over"] = {"lora": options}
    return _allowed(name, method, given)


def _allowed(name: str, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return options that the method takes.

    Raises:
        UserError: it does not.
    """
    try:
        get_method(method)(**options)
    except ValidationError as error:
        wrong = first_mistake(error, model=get_method(method), given=options)
        raise UserError(f"--methods {name}: {wrong}") from None
    except ValueError as error:
        raise UserError(f"--methods {name}: {error}") from None
    return options


def _kind(name: str, method: str, options: dict[str, Any], weights: str, card: Card) -> Kind:
    half = "bf16" if have_bf16([card]) else "fp16"
    shown = {QLORA: "lora"}.get(name, name)
    if weights == "nf4":
        train = {"precision": f"{half}-weights", "weights": "nf4", "double_quant": True}
        return Kind(shown, method, "nf4", options, train)
    if method == FULL and half == "fp16":
        # Of a weight in fp16 most of what Adam adds is lost; autocast keeps it in fp32.
        return Kind(shown, method, "fp32", options, {"precision": "fp16"})
    return Kind(shown, method, half, options, {"precision": f"{half}-weights"})
