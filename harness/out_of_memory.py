"""Memory that ran out: what is recorded of it, and which errors say so. Bytes throughout."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.part import Part

# How torch says it of the host, and of a device where its own allocator was not asked.
NO_HOST_MEMORY = "can't allocate memory"
NO_DEVICE_MEMORY = (
    "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip


class Batches(Part):
    """How many examples a run's passes are made of."""

    batch_size: int = Field(description="examples per forward pass")
    accumulate: int = Field(description="forward passes per optimizer step")
    eval_batch_size: int = Field(description="examples per evaluation batch")

    def __str__(self) -> str:
        passes = f"{self.batch_size} x {self.accumulate}"
        if self.eval_batch_size == self.batch_size:
            return passes
        return f"{passes}, evaluation {self.eval_batch_size}"


class OutOfMemory(Part):
    """The moment at which a run had no more memory to take."""

    doing: str = Field(description="what the run was at")
    batch_of: str | None = Field(
        None, description="training or evaluation: whose batch it was; null: of neither's size"
    )
    step: int | None = Field(None, description="optimizer steps that were done")
    part: str | None = Field(None, description="forward, backward or optimizer, in a step")
    op: str | None = Field(None, description="operator that asked; null: none that a ledger sees")
    path: str | None = Field(None, description="module that the operator belongs to")
    alive: int | None = Field(None, description="in tensors, at that moment; the split's sum")
    split: dict[str, int] = Field(default_factory=dict, description="of it, by category")
    holders: list[dict[str, Any]] = Field(
        default_factory=list, description="largest of it, by category and module"
    )
    reserved: int | None = Field(None, description="CUDA: held by the allocator, caches included")
    capacity: int | None = Field(None, description="CUDA: of the card")
    again: bool | None = Field(
        None,
        description="the work was done again to see what is alive, and ran out again; false: it "
        "fitted then, and what is alive is of its peak; null: it was seen the first time",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether the error says that a device's memory or the host's ran out."""
    return is_of_device(error) or isinstance(error, MemoryError) or NO_HOST_MEMORY in str(error)


def is_of_device(error: BaseException) -> bool:
    """Tell whether the error says that a device's memory ran out; imports no torch to know."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_DEVICE_MEMORY)
