"""When tensors froze, as records tell it: by layer, and by what they are in their layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean

from harness.record import Record

Steps = Mapping[str, int | None]  # tensor -> updates until it froze; None: it trained to the end
WITHIN = "blocks"  # a stage of a Swin holds blocks, which are its layers


@dataclass(frozen=True)
class Froze:
    """What one method's runs on one task froze; something, in at least one of them.

    Attributes:
        title: names them.
        steps: of the longest run.
        runs: what froze when, in each.
    """

    title: str
    steps: int
    runs: Sequence[Steps]

    @cached_property
    def kinds(self) -> list[str]:
        """What froze in some layer of some run, in the order of the model."""
        froze = (name for run in self.runs for name, step in run.items() if step is not None)
        return _distinct(place_of(name)[1] for name in froze)

    @cached_property
    def layers(self) -> list[str]:
        """Paths of the layers that hold such tensors, the lowest first."""
        return _distinct(place[0] for run in self._cells for place in run)

    @cached_property
    def _cells(self) -> list[dict[tuple[str, str], int | None]]:
        """Each run's tensors of those kinds, by layer and kind."""
        kinds = set(self.kinds)
        placed = [{place_of(name): step for name, step in run.items()} for run in self.runs]
        return [{at: step for at, step in run.items() if at[1] in kinds} for run in placed]

    @cached_property
    def by_kind(self) -> bool:
        """Whether a layer's tensors froze at different times."""
        return any(
            len({step for at, step in run.items() if at[0] == layer}) > 1
            for run in self._cells
            for layer in self.layers
        )

    @property
    def changes(self) -> list[int]:
        """The first step, all in which something froze, and the end."""
        froze = {step for run in self._cells for step in run.values() if step is not None}
        return sorted({0, self.steps} | {step for step in froze if 0 < step < self.steps})

    def training(self, layer: str, step: int) -> float:
        """Return which share of the layer's tensors train in a step, over all runs."""
        ends = [end for run in self._cells for at, end in run.items() if at[0] == layer]
        return mean(end is None or end > step for end in ends)

    def step(self, layer: str, kind: str) -> float | None:
        """Return the mean step of freezing, over runs in which it froze; None: in none."""
        ends = [run.get((layer, kind)) for run in self._cells]
        known = [end for end in ends if end is not None]
        return mean(known) if known else None


def place_of(name: str) -> tuple[str, str]:
    """Return the path of the layer that holds a tensor, and its name in there.

    Of `bert.encoder.layer.3.output.dense.A`: `bert.encoder.layer.3` and `output.dense.A`. Empty:
    what is in no layer.
    """
    parts = name.split(".")
    end = next((i + 1 for i, part in enumerate(parts) if part.isdigit()), 0)
    if end and parts[end : end + 1] == [WITHIN] and parts[end + 1].isdigit():
        end += 2
    return ".".join(parts[:end]), ".".join(parts[end:])


def froze(records: Sequence[Record], title: str) -> Froze | None:
    """Return what froze in the records that ended well; None: nothing, or nobody wrote it down."""
    good = [record for record in records if record.outcome == "ok" and record.steps]
    runs = [_before_the_end(record) for record in good]
    if not any(step is not None for run in runs for step in run.values()):
        return None
    return Froze(title, max(record.steps or 0 for record in good), runs)


def _before_the_end(record: Record) -> Steps:
    """Return what froze when; what a method cut out after the last step trained to the end."""
    last = record.steps or 0
    at = _steps(record)
    return {name: None if step is None or step >= last else step for name, step in at.items()}


def _steps(record: Record) -> Steps:
    """Return what froze when; until November 2026 only AFLoRA and SAFE said it, for themselves."""
    if record.frozen_at:
        return record.frozen_at
    state = record.method_state
    steps, epochs = state.get("frozen_at"), state.get("frozen_at_epoch")
    if isinstance(steps, dict):
        return {str(name): step for name, step in steps.items() if isinstance(step, int)}
    if not isinstance(epochs, dict):
        return {}
    # SAFE names layers, and the epoch after which each froze, from 1.
    ended = {entry.get("epoch", -1) + 1: entry.get("steps") for entry in record.history}
    measured = state.get("importance") or {}
    units = {*epochs, *(unit for each in measured.values() for unit in each)}
    layers = sorted((unit for unit in units if unit.isdigit()), key=int)
    return {f"layer.{unit}.adapter": ended.get(epochs.get(unit)) for unit in layers}


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
