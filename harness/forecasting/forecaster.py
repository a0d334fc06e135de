"""Answers to requests: each distinct one once, from the cache or from a fresh process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.forecasting.cache import Cache
from harness.forecasting.many import alike, forecast_alike
from harness.forecasting.pool import TaskFailed, preload, run_forked
from harness.forecasting.requests import (
    StepShapes,
    data_shapes,
    has_own_data,
    shapes_without_data,
)
from harness.forecasting.spare import load_late
from harness.models.catalogue import CATALOGUE
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast
from harness.simulation.timeline import Timeline
from harness.timing.clock import Clock

if TYPE_CHECKING:
    from harness.suite.cell import Cell


class Asked(NamedTuple):
    """One question.

    Attributes:
        request: the step.
        capacities: what cards offer to the allocator, in bytes.
        clocks: what the step is timed on.
    """

    request: Request
    capacities: tuple[int, ...] = ()
    clocks: tuple[Clock, ...] = ()


MANY = 3  # forks that might import the same, each for itself
Answer = StepForecast | UserError | TaskFailed


class Forecaster:
    """Forecasts requests for cards of given capacities.

    Args:
        cache: folder of earlier answers; None keeps none.
        workers: processes at a time; each needs 0.5 to 1 GB and one core.
        progress: called with (finished, all) as answers come in.
    """

    def __init__(
        self,
        cache: Path | None,
        workers: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.cache, self.progress = Cache(cache), progress
        self.workers = workers or len(os.sched_getaffinity(0))

    def ask(self, questions: Sequence[Asked]) -> list[Answer]:
        """Return one answer per question, in their order; equal requests are run once."""
        asked: dict[str, Asked] = {}
        keys = [one.request.key() for one in questions]
        for key, one in zip(keys, questions, strict=True):
            asked[key] = _both(asked[key], one) if key in asked else one
        answers: dict[str, Answer] = {}
        for key, one in asked.items():
            answer = self.cache.read(key)
            if answer and _answers(answer, one):
                answers[key] = answer
        todo = [key for key in asked if key not in answers]
        if todo:
            self._work(todo, asked, answers)
        return [answers[key] for key in keys]

    def timeline(self, request: Request) -> Timeline:
        """Follow one step of the request; nothing of it is kept.

        Raises:
            UserError: it cannot be forecast.
        """
        self.prepare([request])
        from harness.simulation.timeline import timeline

        [(_, found)] = run_forked([(timeline, (request,))], workers=1)
        if isinstance(found, TaskFailed):
            raise UserError(str(found))
        if isinstance(found, UserError):
            raise found
        assert isinstance(found, Timeline)
        return found

    def shapes(self, cells: Sequence[Cell]) -> list[StepShapes]:
        """Return every cell's step shapes; those that depend on data are found once per data.

        Raises:
            UserError: lengths cannot be read where batches depend on them.
        """
        groups = {self._data_key(cell): cell for cell in cells if has_own_data(cell)}
        shapes_by_key: dict[str, StepShapes] = {}
        if groups:
            preload()
            tasks = [(data_shapes, (cell,)) for cell in groups.values()]
            keys = list(groups)
            for number, shapes in run_forked(tasks, self.workers):
                if isinstance(shapes, UserError):
                    raise shapes
                if not isinstance(shapes, StepShapes):
                    raise UserError(f"{groups[keys[number]].path}: {shapes}")
                shapes_by_key[keys[number]] = shapes
        return [
            shapes_by_key[self._data_key(cell)] if has_own_data(cell) else shapes_without_data(cell)
            for cell in cells
        ]

    @staticmethod
    def prepare(requests: Sequence[Request]) -> None:
        """Import what forecasts of these requests need, before they fork."""
        specs = {request.model for request in requests}
        preload({CATALOGUE[spec.config].model_type for spec in specs if spec.config})
        from harness.simulation.built import default_stand_in

        # torch's checkpointing asks for its compiler: a second for every fork that imports it.
        late = any(default_stand_in(r) != "meta" or r.train.gradient_checkpointing
                   for r in requests)  # fmt: skip
        if late or len(requests) > MANY:
            load_late()

    @staticmethod
    def _data_key(cell: Cell) -> str:
        content = cell.model_dump(mode="json", include={"model", "task", "seed", "protocol",
                                                        "data_root", "train"})  # fmt: skip
        for name in ("lr", "head_lr", "weight_decay", "precision", "attention"):
            content["train"].pop(name)
        return json.dumps(content, sort_keys=True)

    def _work(
        self,
        todo: list[str],
        asked: dict[str, Asked],
        answers: dict[str, Answer],
    ) -> None:
        self.prepare([asked[key].request for key in todo])
        groups = alike([asked[key].request for key in todo], self.workers)
        tasks = [(forecast_alike, ([tuple(asked[todo[n]]) for n in group],)) for group in groups]
        done = 0
        for task, found in run_forked(tasks, self.workers):
            own = [todo[number] for number in groups[task]]
            each = found if isinstance(found, list) else [found] * len(own)
            for key, answer in zip(own, each, strict=True):
                answers[key] = answer
                if isinstance(answer, StepForecast):
                    self.cache.write(key, answer)
            done += len(own)
            self.progress(done, len(todo))


def _both(one: Asked, other: Asked) -> Asked:
    """Return what asks for all that two questions on one request ask for."""
    return Asked(
        one.request,
        tuple(sorted({*one.capacities, *other.capacities})),
        tuple(dict.fromkeys((*one.clocks, *other.clocks))),
    )


def _answers(answer: StepForecast, asked: Asked) -> bool:
    """Tell whether an earlier answer says all that is asked for."""
    replayed = all(c >= answer.reserved or c in answer.passes for c in asked.capacities)
    return replayed and all(clock.key() in answer.times for clock in asked.clocks)
