"""What a step without values runs on: model and method, and what stands for the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import torch

from harness.errors import UserError
from harness.models.config import pad_with_anything
from harness.simulation.answers import KnownAnswers
from harness.simulation.choices import choices_of
from harness.simulation.packages import packages_of
from harness.simulation.quantized import StandIns
from harness.simulation.request import Request, StandIn
from harness.simulation.untouched import untouched_gpu
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.base import untrained
from harness.training.kernels import pinned_kernel
from harness.training.replica import Hollow
from harness.training.state import TrainState
from methods import Method, get_method


class Built(NamedTuple):
    """A model with its method, before the first step, and what stands for its device.

    Attributes:
        answers: to code that reads values.
        kernels: that sdpa took so far.
    """

    state: TrainState
    device: torch.device
    answers: KnownAnswers
    kernels: set[str]


def prepare_process(request: Request) -> None:
    """Ready a process of the request's own for its stand-in: some of torch's functions change."""
    from harness.simulation.metakernels import restore_native_kernels

    if default_stand_in(request) == "meta":
        restore_native_kernels()


@contextmanager
def built(request: Request, stand_in: StandIn | None = None) -> Iterator[Built]:
    """Build the request's model and method; its steps run in this context, as they are built.

    Requests that differ in shapes alone are built alike. What a step leaves behind is that of a
    run, so each wants a fork of this process.

    Raises:
        UserError: the model or the method cannot be built like this.
    """
    import_module("transformers.masking_utils")  # of which the choices replace a function
    warnings.simplefilter("ignore")
    device = torch.device(stand_in or default_stand_in(request))
    with ExitStack() as stack:
        if device.type != "meta":
            from torch._subclasses.fake_tensor import FakeTensorMode

            stack.enter_context(FakeTensorMode())
        answers = stack.enter_context(KnownAnswers())
        kernels: set[str] = set()
        if device.type != "cuda":
            kernels = stack.enter_context(choices_of(request.target, autocasts(request)))
        stack.enter_context(pinned_kernel(request.train.attention))
        stack.enter_context(packages_of(request.train, request.target))
        stack.enter_context(untouched_gpu())
        yield Built(_build(request, device), device, answers, kernels)


def _build(request: Request, device: torch.device) -> TrainState:
    """Build the model without drawing its weights, and the step on it."""
    from transformers.initialization import no_init_weights

    settings, family = request.train, get_family(request.family)
    with device, no_init_weights():
        model: Any = untrained(
            request.model, family, request.num_labels, settings, StandIns(request.target)
        )
    pad_with_anything(model.config)
    with device:
        model.tie_weights()  # as in a real one
    foreach = True if request.target.kind == "cuda" else None
    try:
        return build_step(
            model.train(), method_of(request), request.plan(), settings, device, family,
            stage=request.stage, foreach=foreach, replica=Hollow,
        )  # fmt: skip
    except ValueError as error:  # how methods refuse a model
        raise UserError(str(error)) from error


def method_of(request: Request) -> Method:
    """Return the request's method."""
    return get_method(request.method)(**request.method_options)


def autocasts(request: Request) -> bool:
    """Tell whether the forward pass runs under autocast."""
    return request.train.dtypes.autocast


def default_stand_in(request: Request) -> StandIn:
    """Return the stand-in that the request names, or one that can do its work."""
    if request.stand_in is not None:
        return request.stand_in
    return "cpu" if request.target.kind == "cpu" or autocasts(request) else "meta"
