"""The base model of a run as its settings have it: quantised where they ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.load import build_model
from harness.models.quantized import Make, Quantization, of_bitsandbytes, quantize
from harness.training.precision import TORCH, weight_dtype
from methods import surgery

if TYPE_CHECKING:
    from torch import nn

    from harness.models.spec import ModelSpec
    from harness.suite.numerics import Numerics
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Family


def untrained(
    spec: ModelSpec,
    family: Family,
    num_labels: int,
    settings: TrainSettings,
    make: Make | None = None,
) -> nn.Module:
    """Build a cell's model from its config, on whatever device and mode torch is set to.

    Args:
        spec: of the model.
        family: of the task.
        num_labels: of the head.
        settings: of the cell.
        make: quantised layers; None: bitsandbytes'.

    Raises:
        UserError: as `build_model`.
    """
    model = build_model(
        spec, family, num_labels, settings.attention, weight_dtype(settings.dtypes),
        settings.holds_outputs,
    )  # fmt: skip
    quantize_base(model, settings, train_pooler=settings.train_pooler, make=make)
    return model


def quantize_loaded(model: nn.Module, settings: TrainSettings) -> None:
    """Quantise a model on the host as its settings have it: on the GPU, if there is one."""
    import torch

    make = on_gpu if torch.cuda.is_available() else None
    quantize_base(model, settings, train_pooler=settings.train_pooler, make=make)


def on_gpu(linear: nn.Module, how: Quantization) -> nn.Module:
    """Return bitsandbytes' layer of a linear layer on the host, quantised on the GPU.

    The weight as it was is given back to the driver, so that no packed one comes to lie in its
    place and holds it.
    """
    import torch

    layer = of_bitsandbytes(linear, how, torch.device("cuda"))
    torch.cuda.empty_cache()
    return layer


def quantize_base(
    model: nn.Module, settings: Numerics, *, train_pooler: bool, make: Make | None = None
) -> None:
    """Quantise a model's linear layers where the settings ask for it, in place.

    Args:
        model: in the type of its weights before that.
        settings: of types.
        train_pooler: the pooler stays as it is, since it trains.
        make: quantised layers; None: bitsandbytes'.
    """
    how = quantization(settings)
    if how is not None:
        keep = surgery.pooler_parameters(model) if train_pooler else {}
        quantize(model, how, keep=keep, make=make)


def quantization(settings: Numerics) -> Quantization | None:
    """Return how settings have the base quantised; None: not at all."""
    dtypes = settings.dtypes
    if not dtypes.quantised:
        return None
    kind: Any = dtypes.weights
    return Quantization(kind, settings.double_quant, TORCH[dtypes.compute], TORCH[settings.rest])
