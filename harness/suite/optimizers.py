"""What each optimizer that `train.optimizer` names is; docs/optimizers.md says what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

BITSANDBYTES, TORCHAO = "bitsandbytes", "torchao"
EXTRAS = {BITSANDBYTES: "quantized", TORCHAO: "torchao"}
# The least capability in which triton casts to float8_e4m3fn, as torchao's step does.
FP8_CAPABILITY = (8, 9)


@dataclass(frozen=True)
class Kind:
    """One optimizer.

    Attributes:
        kernels: how it goes over the tensors on CUDA.
        settings: those that are its own.
        package: that it is from, beside torch.
        states: tensors of state for each that trains, at most.
        bits: of an entry of a state; 32: torch's keep the weight's type, bitsandbytes' fp32.
        paged: states of 100,000 entries and more lie in unified memory.
    """

    kernels: str
    settings: tuple[str, ...] = ()
    package: str | None = None
    states: int = 2
    bits: int = 32
    paged: bool = False

    @property
    def own_settings(self) -> tuple[str, ...]:
        """Settings that act with this optimizer, and without it are refused."""
        blocks = {(BITSANDBYTES, 8): ("embedding_states",)}.get((self.package or "", self.bits), ())
        return (*self.settings, *blocks, *(("state_block",) if self.package == TORCHAO else ()))


_ADAM = ("betas", "eps")
_EACH = "a kernel a tensor"


def _of_bitsandbytes(family: str) -> dict[str, Kind]:
    settings, states = (_ADAM, 2) if family == "adamw" else (("betas",), 1)
    kinds = {
        f"{family}{'-paged' * paged}{'-8bit' * (bits == 8)}": Kind(
            f"{_EACH} with states in {bits} bits{' and unified memory' * paged}",
            settings, BITSANDBYTES, states, bits, paged,
        )
        for paged in (False, True) for bits in (32, 8)
    }  # fmt: skip
    return {name: kind for name, kind in kinds.items() if name != "adamw"}  # torch's


OPTIMIZERS: dict[str, Kind] = {
    "adamw": Kind("foreach", _ADAM),
    "adamw-fused": Kind("one kernel", _ADAM),
    "adamw-plain": Kind("tensor by tensor", _ADAM),
    **_of_bitsandbytes("adamw"),
    **{
        f"adamw-torchao-{name}": Kind(
            f"{_EACH}, compiled, with states in {what}", _ADAM, TORCHAO, bits=bits
        )
        for name, what, bits in (("8bit", "8 bits", 8), ("4bit", "4 bits", 4), ("fp8", "fp8", 8))
    },
    **_of_bitsandbytes("lion"),
    "sgd": Kind("foreach", ("momentum",), states=1),
    "adafactor": Kind("tensor by tensor"),
    "muon": Kind("matrix by matrix, adamw of all else by foreach", _ADAM),
}  # fmt: skip


def missing_package(optimizer: str) -> str | None:
    """Say which package is missing for the optimizer to step, and how it comes; None: none is."""
    package = OPTIMIZERS[optimizer].package
    if package is None or find_spec(package) is not None:
        return None
    return (
        f"the package {package} is not installed: pip install "
        f"'headroom-bench[{EXTRAS[package]}]'; a forecast needs none"
    )
