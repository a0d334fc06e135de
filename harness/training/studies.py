"""The analyses of a run: when each looks, apart from the run's time, memory and random numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

from harness.analyses.base import Subject, Weighed
from harness.dtypes import PRESETS
from harness.record import Analysed
from harness.training.batches import Probe
from harness.training.precision import autocast, set_matmul_mode
from methods.common.random_state import private_random_state

if TYPE_CHECKING:
    from torch import Tensor

    from harness.analyses.base import Found, Study
    from harness.training.saved import Saved
    from harness.training.setup import Setup

UNFINISHED = "the run ended before it was done"


class Studies:
    """All that is asked of one run beyond its scores.

    Whatever goes wrong in one of them is told in its result, and is no reason to lose the run.

    Args:
        setup: of the run, with the analyses that the cell asks for.

    Attributes:
        results: by name; until `conclude` each has an error that says so.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._studies = {name: analysis.begin() for name, analysis in setup.analyses.items()}
        self.results = {
            name: Analysed(options=analysis.model_dump(mode="json"), error=UNFINISHED)
            for name, analysis in setup.analyses.items()
        }

    def observe(self, step: int) -> None:
        """Let those look that want to after `step` steps."""
        for name, study in self._going_on():
            if step in study.moments(self.setup.order.num_steps):
                self._run(name, partial(study.observe, step=step))

    def conclude(self) -> None:
        """Have each say what it found."""
        for name, study in self._going_on():
            found: Found | None = self._run(name, study.conclude)
            if found is not None:
                result = self.results[name]
                result.headline, result.content = found.headline, found.content
                result.notes, result.error = found.notes, None

    def shortfalls(self) -> list[str]:
        """Say which of them found nothing, in sentences."""
        return [
            f"analysis {name}: {result.error}"
            for name, result in self.results.items()
            if result.error
        ]

    def state_dict(self) -> Saved:
        """Return what they have seen so far."""
        return {
            name: {"study": study.state_dict(), "result": self.results[name].model_dump()}
            for name, study in self._studies.items()
        }

    def load_state_dict(self, saved: Saved) -> None:
        """Go on with what they had seen."""
        for name, state in saved.items():
            self.results[name] = Analysed.model_validate(state["result"])
            self._studies[name].load_state_dict(state["study"])

    def _going_on(self) -> list[tuple[str, Study]]:
        return [
            (name, study)
            for name, study in self._studies.items()
            if self.results[name].error == UNFINISHED
        ]

    def _run(self, name: str, act: Callable[[Subject], Found | None]) -> Found | None:
        """Return what it answers; None where it failed, which its result then says."""
        setup = self.setup
        setup.progress({"doing": f"analysing: {name}"})
        result, began = self.results[name], time.perf_counter()
        answer = None
        with setup.clock.apart("analyses"), _apart(setup, result, setup.analyses[name].exact):
            try:
                answer = act(_subject(setup))
            except Exception as error:  # out of memory, an operator without second derivatives
                first = (str(error) or type(error).__name__).splitlines()[0]
                result.error = f"{type(error).__name__}: {first}"
        result.seconds += time.perf_counter() - began
        setup.progress({"doing": "training"})
        return answer


@contextmanager
def _apart(setup: Setup, result: Analysed, exact: bool) -> Iterator[None]:
    """Put the model into eval mode, and leave nothing of it behind: no mode, memory or number."""
    device, dtypes = setup.device, setup.settings.dtypes
    was_training = setup.model.training
    setup.handle.evaluating(on=True)
    setup.model.eval()
    if exact:
        set_matmul_mode(PRESETS["fp32"])
    try:
        with (
            private_random_state(device),
            setup.meter.apart() as reading,
            autocast(PRESETS["fp32"] if exact else dtypes, device),
        ):
            yield
    finally:
        set_matmul_mode(dtypes)
        setup.model.train(was_training)
        setup.handle.evaluating(on=False)
    if reading is not None:
        result.peak_allocated = max(result.peak_allocated or 0, reading.peak_allocated)
        torch.cuda.empty_cache()  # what it left cached, no training step reserved


def _subject(setup: Setup) -> Subject:
    return Subject(
        handle=setup.handle,
        trained=frozenset(setup.state.names),
        num_steps=setup.order.num_steps,
        batch_size=setup.settings.batch_size,
        seed=setup.order.seed,
        device=setup.device,
        sample=partial(_sample, setup),
        loss=partial(_loss, setup),
        tell=lambda text: setup.progress({"doing": f"analysing: {text}"}),
    )


def _sample(setup: Setup, count: int, size: int) -> Sequence[Weighed]:
    """Return batches of the run's seeded choice of training examples, with their shares."""
    order = setup.order
    batches = Probe(order, count, setup.device).batches(size)
    terms = [order.data.terms(batch) for batch in batches]
    total = max(1, sum(terms))
    return [
        Weighed(order.tensors(batch, setup.device), count / total)
        for batch, count in zip(batches, terms, strict=True)
    ]


def _loss(setup: Setup, inputs: Mapping[str, Tensor]) -> Tensor:
    outputs = setup.model(**inputs)
    if setup.settings.smooths_apart:
        return setup.family.smoothed_loss(outputs, inputs, setup.settings.label_smoothing)
    loss: Tensor = outputs.loss
    return loss
