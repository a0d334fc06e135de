"""How far each layer is from where it will end: CKA over training against the final model."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt

from harness.analyses.base import Analysis, Found, Study, Subject

if TYPE_CHECKING:
    from torch import Tensor


class Cka(Analysis):
    """Linear CKA of every layer's output, over training, with the same layer's after the last step.

    Kornblith et al. (2019), eq. 3 with a linear kernel on centred columns; SAFE's Fig. 3. Rows are
    token positions of training examples, without padding: the same at every look. The model looked
    at is the one in training, also where an earlier epoch's is reported.
    """

    name: ClassVar[str] = "cka"

    points: PositiveInt = Field(12, description="looks after the one before the first step")
    examples: PositiveInt = Field(512, description="training examples")
    rows: PositiveInt = Field(
        4096, description="token positions of each layer that are kept of every look, on the host"
    )

    def begin(self) -> Study:
        """Return a study without looks."""
        return _CkaStudy(self)


class _CkaStudy(Study):
    """Keeps rows of every layer's output, since nobody knows the final ones before the end.

    They, and not the tensors that train, are what a checkpoint holds: a method may fold, shrink or
    mask what it trained, and then no earlier model can be made again.
    """

    def __init__(self, options: Cka) -> None:
        self.options = options
        self.seen: dict[int, list[Tensor]] = {}

    def moments(self, num_steps: int) -> Collection[int]:
        """Return steps that are evenly spread, the first before training, the last after it."""
        points = min(self.options.points, num_steps)
        return {round(i * num_steps / points) for i in range(points + 1)}

    def observe(self, subject: Subject, step: int) -> None:
        """Keep the rows of now."""
        from methods.safe.cka import Recorder

        batches = [b.inputs for b in subject.sample(self.options.examples, subject.batch_size)]
        recorder = Recorder(subject.handle, batches, subject.seed, self.options.rows)
        self.seen[step] = recorder.features()

    def conclude(self, subject: Subject) -> Found:
        """Compare every look with the last one."""
        from methods import surgery
        from methods.safe.cka import linear_cka

        steps = sorted(self.seen)
        last = self.seen[steps[-1]]
        table = [[linear_cka(x, y) for x, y in zip(self.seen[s], last, strict=True)] for s in steps]
        size = sum(rows.nbytes for look in self.seen.values() for rows in look)
        half = table[min(range(len(steps)), key=lambda i: abs(2 * steps[i] - steps[-1]))]
        rows, width = last[0].shape
        return Found(
            headline={
                "lowest CKA, before training": min(table[0]),
                "lowest CKA, half-way": min(half),
            },
            content={"steps": steps, "layers": surgery.layer_names(subject.model), "cka": table,
                     "rows": rows, "bytes_on_host": size},
            notes=[
                f"{rows} rows for layers of width {width}: few rows make everything look alike"
            ] if rows < 4 * width else [],
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Return every look's rows."""
        return {"seen": {str(step): rows for step, rows in self.seen.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the looks of before."""
        self.seen = {int(step): list(rows) for step, rows in state["seen"].items()}
