"""Names of rows where a cell has one for each stage of its method."""

from __future__ import annotations

WHOLE = "training"  # the stage of a method that has one


def stage_of(name: str, stage: str) -> str:
    """Return a cell's name with its stage, where it has several; below its first, no name."""
    if name and stage == WHOLE:
        return name
    return f"{name}, {stage}" if name else f"— {stage}"
