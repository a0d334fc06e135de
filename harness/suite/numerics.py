"""Settings of the types that a run computes in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.dtypes import Dtypes, resolved
from harness.models.attention import FLASH, Attention
from harness.suite.frozen import Frozen

# The settings that `Dtypes` is made of.
TYPES = ("precision", "weights", "compute", "autocast", "adapters")


def _unset(value: object) -> bool:
    return value is None


class Numerics(Frozen):
    """Which types weights, products, adapters and attention have."""

    precision: Literal["fp32", "tf32", "bf16", "fp16", "bf16-weights", "fp16-weights"] = Field(
        "fp32",
        description="a preset of weights, compute, autocast and adapters, which may be said beside "
        "it. bf16 and fp16: autocast over fp32 weights; bf16-weights and fp16-weights: the base "
        "in 16 bits, adapter and head in fp32, no autocast and no scaler of the loss",
    )
    weights: Literal["fp32", "bf16", "fp16", "nf4", "fp4", "int8"] | None = Field(
        None,
        description="how the base is stored; nf4, fp4 and int8: its linear layers quantised, as "
        "bitsandbytes does; null: as precision has it",
        exclude_if=_unset,
    )
    compute: Literal["fp32", "tf32", "bf16", "fp16"] | None = Field(
        None,
        description="type of matrix products: autocast's, or that of dequantised weights; null: "
        "as precision has it, over quantised weights bf16 unless that says fp16",
        exclude_if=_unset,
    )
    autocast: bool | None = Field(
        None,
        description="cast inputs operator by operator, as a Trainer's bf16 and fp16 do; to fp16 "
        "with a scaler of the loss. null: as precision has it",
        exclude_if=_unset,
    )
    adapters: Literal["fp32", "same"] | None = Field(
        None,
        description="what trains beside the base: in fp32 or in the base's own type; null: fp32",
        exclude_if=_unset,
    )
    double_quant: bool = Field(
        False,
        description="of nf4 and fp4: the scales quantised as well",
        exclude_if=lambda value: value is False,
    )
    unquantized: Literal["fp32", "compute"] = Field(
        "fp32",
        description="what is left of a quantised base (norms, embeddings, head) is in fp32, as "
        "peft's prepare_model_for_kbit_training makes it, or in the type of compute",
        exclude_if=lambda value: value == "fp32",
    )
    attention: Attention = Field(
        "auto",
        description="auto: the model's own, sdpa where it has it; {sdpa: efficient}, or flash, "
        "math, cudnn: this kernel alone; flash_attention_2: of the package flash-attn",
    )

    @property
    def dtypes(self) -> Dtypes:
        """What the settings of types come to."""
        return resolved(self.precision, self.weights, self.compute, self.autocast, self.adapters)

    @property
    def rest(self) -> str:
        """The type of embeddings, norms and inputs: of all that is not quantised."""
        quantised = self.dtypes.quantised and self.unquantized == "fp32"
        return "fp32" if quantised else self.dtypes.base

    def mistyped(self) -> list[str]:
        """Say which settings of types no run can have together."""
        dtypes, found = self.dtypes, []
        obstacle = dtypes.obstacle()
        if obstacle:
            found.append(obstacle)
        if self.double_quant and dtypes.weights not in {"nf4", "fp4"}:
            found.append(f"double_quant is of weights nf4 and fp4, and weights is {dtypes.weights}")
        if self.unquantized != "fp32" and not dtypes.quantised:
            found.append(
                f"unquantized is of weights nf4, fp4 and int8, and weights is {dtypes.weights}"
            )
        return found

    def unserved(self) -> list[str]:
        """Say where the attention's package has no kernels in the types."""
        if self.attention != FLASH or self.dtypes.compute not in {"fp32", "tf32"}:
            return []
        return [
            f"attention = {FLASH} needs products in bf16 or fp16 (precision bf16, fp16, "
            f"bf16-weights or fp16-weights), and precision is {self.dtypes}"
        ]
