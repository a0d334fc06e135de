"""Settings of the optimizer, and when it steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from harness.suite.numerics import Numerics
from harness.suite.optimizers import OPTIMIZERS

Optimizer = Literal[
    "adamw", "adamw-fused", "adamw-plain", "sgd", "adafactor", "muon",
    "adamw-8bit", "adamw-paged", "adamw-paged-8bit",
    "lion", "lion-8bit", "lion-paged", "lion-paged-8bit",
    "adamw-torchao-8bit", "adamw-torchao-4bit", "adamw-torchao-fp8",
]  # fmt: skip
Share = Annotated[float, Field(ge=0, lt=1)]
# Settings of single optimizers, and whose they are.
OWNERS = {
    "betas": "adamw's and lion's",
    "eps": "adamw's",
    "momentum": "sgd's",
    "embedding_states": "of bitsandbytes' optimizers in 8 bits",
    "state_block": "torchao's",
}


class Optimization(Numerics):
    """What steps what trains, and when."""

    optimizer: Optimizer = Field(
        "adamw",
        description="adamw: torch's, over all tensors at once, whose temporaries are as large as "
        "all that trains; adamw-fused: in one kernel; on the CPU both are fused; adamw-plain: "
        "tensor by tensor; -8bit, -paged and lion: of bitsandbytes; adamw-torchao-*: of torchao; "
        "muon: of matrices inside of the model, adamw of all else",
    )
    optimizer_in_backward: bool = Field(
        False,
        description="step each parameter as soon as its gradient is there, and free that; needs "
        "clip: null and accumulate: 1",
        exclude_if=lambda value: value is False,
    )
    betas: tuple[Share, Share] = Field(
        (0.9, 0.999),
        description="of adamw's and lion's means",
        exclude_if=lambda value: value == (0.9, 0.999),
    )
    eps: PositiveFloat = Field(
        1e-8, description="in adamw's denominator", exclude_if=lambda value: value == 1e-8
    )
    momentum: Share = Field(
        0.9,
        description="of sgd; 0: none, and no state",
        exclude_if=lambda value: value == 0.9,
    )
    embedding_states: Literal["fp32", "same"] = Field(
        "fp32",
        description="states of embeddings under bitsandbytes' optimizers in 8 bits: fp32, as in "
        "HF's Trainer, or the same as of other tensors",
        exclude_if=lambda value: value == "fp32",
    )
    state_block: PositiveInt | None = Field(
        None,
        description="weights that share a scale in torchao's states; null: its own number (4 bits: "
        "128, else 256; HF's Trainer sets 256)",
        exclude_if=lambda value: value is None,
    )

    def idle(self) -> list[str]:
        """Say which settings are another optimizer's than the one that is set."""
        acting = OPTIMIZERS[self.optimizer].own_settings
        return [
            f"{name} = {getattr(self, name)} is {owner}, and optimizer is {self.optimizer}"
            for name, owner in OWNERS.items()
            if name not in acting and getattr(self, name) != type(self).model_fields[name].default
        ]
