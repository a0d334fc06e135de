"""Which types weights, products and adapters have: resolved from what a suite says."""

from __future__ import annotations

from typing import Any, NamedTuple

QUANTISED = frozenset({"nf4", "fp4", "int8"})
HALVES = frozenset({"bf16", "fp16"})


class Dtypes(NamedTuple):
    """The types of a training run.

    Attributes:
        weights: in which the base is stored: fp32, bf16, fp16, or quantised: nf4, fp4, int8.
        compute: of matrix products: autocast's, that of dequantised weights, or the weights' own.
        autocast: torch casts the inputs of products and normalisations, operator by operator.
        adapters: `fp32`, or `same`: what trains beside the base is in the base's own type, of a
            quantised base in `compute`.
    """

    weights: str
    compute: str
    autocast: bool
    adapters: str

    @property
    def preset(self) -> str | None:
        """The name that these four have, if they have one."""
        return next((name for name, dtypes in PRESETS.items() if dtypes == self), None)

    @property
    def quantised(self) -> bool:
        """Whether the base is stored in less than 16 bits."""
        return self.weights in QUANTISED

    @property
    def base(self) -> str:
        """The type in which the base's tensors come out of a layer, were there no autocast."""
        return self.compute if self.quantised else self.weights

    @property
    def scaled(self) -> bool:
        """Whether the loss is scaled, as torch's autocast to fp16 wants it."""
        return self.autocast and self.compute == "fp16"

    def named(self) -> dict[str, Any]:
        """Return them in the one way in which a cell's identity has them."""
        preset = self.preset
        return {"precision": preset} if preset else self._asdict()

    def obstacle(self) -> str | None:
        """Say why no run can have these types together."""
        if self.autocast and self.compute not in HALVES:
            return f"autocast needs compute bf16 or fp16, and compute is {self.compute}"
        if self.compute == "tf32" and self.weights in HALVES:
            return f"compute tf32 is of fp32 weights, and weights is {self.weights}"
        if not self.autocast and not self.quantised and self.compute != self.weights:
            tf32 = (self.weights, self.compute) == ("fp32", "tf32")
            if self.compute not in HALVES and not tf32:
                return (
                    f"compute {self.compute} is of fp32 or quantised weights, and weights is "
                    f"{self.weights}"
                )
            if not tf32:
                return f"compute {self.compute} over weights {self.weights} needs autocast: true"
        if self.scaled and self.weights != "fp32" and self.adapters == "same":
            return (
                "adapters: same would have fp16 gradients, which the loss' scaler of autocast to "
                "fp16 refuses; take adapters: fp32 or compute: bf16"
            )
        return None

    def __str__(self) -> str:
        preset = self.preset
        if preset:
            return preset
        how = f"autocast to {self.compute}" if self.autocast else f"{self.compute} compute"
        ours = "fp32" if self.adapters == "fp32" else self.base
        return f"{self.weights} weights, {how}, added weights in {ours}"


PRESETS = {
    "fp32": Dtypes("fp32", "fp32", False, "fp32"),
    "tf32": Dtypes("fp32", "tf32", False, "fp32"),
    "bf16": Dtypes("fp32", "bf16", True, "fp32"),
    "fp16": Dtypes("fp32", "fp16", True, "fp32"),
    "bf16-weights": Dtypes("bf16", "bf16", False, "fp32"),
    "fp16-weights": Dtypes("fp16", "fp16", False, "fp32"),
}


def resolved(
    precision: str,
    weights: str | None = None,
    compute: str | None = None,
    autocast: bool | None = None,
    adapters: str | None = None,
) -> Dtypes:
    """Return the types that a preset and what is said beside it come to.

    What is not said is the preset's. Beside fp32, the default, 16-bit weights compute in their own
    type, quantised ones in bf16, and a 16-bit type of products over fp32 weights is autocast's.
    """
    preset = PRESETS[precision]
    stored = weights or preset.weights
    if autocast is None:
        over = stored == "fp32" and compute in HALVES
        autocast = over or (preset.autocast and compute not in {"fp32", "tf32"})
    if compute is None:
        own = "bf16" if stored in QUANTISED else stored
        compute = own if preset.compute == "fp32" else preset.compute
    ours = adapters or preset.adapters
    # Over fp32 weights both say the same.
    return Dtypes(stored, compute, autocast, "fp32" if stored == "fp32" else ours)


def read(value: Any) -> Dtypes:
    """Return the types that `named` wrote down, or a preset's name."""
    if isinstance(value, str):
        return PRESETS[value]
    return PRESETS[value["precision"]] if "precision" in value else Dtypes(**value)
