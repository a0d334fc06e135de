"""Requests of the catalogue's models, with short defaults; the tiny ones have two layers here.

What a layer's figures are is said by two of them as by four, in half of the time.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

from harness.forecasting.pool import preload, run_forked
from harness.models.catalogue.tiny import TINY
from harness.models.config import build_config
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings

SM86 = Target(kind="cuda", capability=(8, 6))
LAYERS = 2


def request(
    model: str,
    method: str = "lora",
    options: dict[str, Any] | None = None,
    *,
    family: Any = "classification",
    steps: tuple[tuple[int, int], ...] = ((4, 32),),
    mask: bool = True,
    target: Target = SM86,
    **train: Any,
) -> Request:
    """Return a request; further names are training settings."""
    return Request(
        model=source(model), family=family, num_labels=2, method=method,
        method_options=options or {}, train=TrainSettings(**train),
        steps=tuple(BatchShape(*step) for step in steps), mask=mask, target=target,
    )  # fmt: skip


@cache
def source(model: str) -> ModelSpec:
    """Return where a model comes from: a tiny one from a folder with the config of two layers."""
    spec = ModelSpec(config=model)
    config = build_config(spec) if model in TINY else None
    if getattr(config, "num_hidden_layers", LAYERS) == LAYERS:  # Swin counts by stages
        return spec
    config.num_hidden_layers = LAYERS
    folder = tempfile.mkdtemp(prefix=model)
    atexit.register(shutil.rmtree, folder)
    config.save_pretrained(folder)
    return ModelSpec(path=folder, label=model)


@cache
def warm() -> None:
    """Do once, in this process, what every fork of it would do for itself.

    That is to import what a forecast needs, and to see what torch keeps of operators on fake
    tensors.
    """
    preload(whole=True)
    fake_run(request("tiny-bert", target=Target(kind="cpu")))


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run the function in a fork, as forecasts run; raise what it raised."""
    warm()
    ((_, result),) = run_forked([(function, arguments)], workers=1)
    if isinstance(result, Exception):
        raise result
    return result
