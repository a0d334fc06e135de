"""Changes of a cell's settings that may save memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.simulation.request import Request
from harness.suite.numerics import TYPES
from harness.suite.optimizers import OPTIMIZERS
from methods import get_method

# A preset says all of them.
UNSAID = dict.fromkeys(name for name in TYPES if name != "precision")


@dataclass(frozen=True)
class Change:
    """A change of the settings.

    Attributes:
        what: the setting; of two changes of one setting only one can be made.
        text: what a user would write.
        edit: what it does to a request.
    """

    what: str
    text: str
    edit: Callable[[Request], Request]


def changes_of(request: Request) -> list[Change]:
    """Return the single changes that apply to the request."""
    train = request.train
    changes: list[Change] = []

    def settings(text: str, **values: Any) -> None:
        changes.append(Change(next(iter(values)), text, partial(_with, **values)))

    if not train.gradient_checkpointing:
        settings("gradient_checkpointing: true (a second forward pass)",
                 gradient_checkpointing=True)  # fmt: skip
    if train.gradient_checkpointing == "reentrant":
        settings("gradient_checkpointing: true (a frozen prefix keeps nothing)",
                 gradient_checkpointing=True)  # fmt: skip
    if request.family == "causal_lm" and train.loss != "chunked":
        others = tuple(kernel for kernel in train.liger_kernels if kernel != "cross_entropy")
        settings("loss: chunked (logits of one piece of tokens at a time)", loss="chunked",
                 liger_kernels=others)  # fmt: skip
    if train.attention == "eager":
        settings("attention: sdpa (no matrix of attention scores)", attention="sdpa")
    if train.dtypes.preset in {"fp32", "tf32"}:
        settings("precision: bf16 (autocast over fp32 weights)", precision="bf16", **UNSAID)
    if train.dtypes.weights == "fp32":
        settings(
            "precision: bf16-weights (the base in 16 bits)", precision="bf16-weights", **UNSAID
        )
    if not train.dtypes.quantised and request.method != "full":
        half = "fp16-weights" if train.dtypes.compute == "fp16" else "bf16-weights"
        quantised = {**UNSAID, "weights": "nf4", "double_quant": True}
        settings("weights: nf4, double_quant: true (the base in 4 bits)",
                 precision=half, **quantised)  # fmt: skip
    if train.holds_outputs:
        settings("outputs: dropped (before backward)", outputs="dropped")
    if train.optimizer == "adamw":
        settings("optimizer: adamw-fused (no temporaries of foreach)", optimizer="adamw-fused")
    if train.optimizer == "adamw-8bit":
        settings("optimizer: adamw-paged-8bit (states in unified memory, as far as they are large)",
                 optimizer="adamw-paged-8bit")  # fmt: skip
    if OPTIMIZERS[train.optimizer].package is None and train.optimizer.startswith("adamw"):
        settings("optimizer: adamw-8bit (states in 8 bits; needs bitsandbytes)",
                 optimizer="adamw-8bit")  # fmt: skip
    if train.optimizer.startswith("adamw"):
        settings("optimizer: adafactor (a row and a column of state for a matrix)",
                 optimizer="adafactor")  # fmt: skip
        settings("optimizer: sgd (one state per weight, not two)", optimizer="sgd")
    if train.optimizer == "sgd" and train.momentum:
        settings("momentum: 0 (no state)", momentum=0.0)
    if _may_step_early(request):
        # Excludes that gradients are summed up, as the next one wants it.
        early = partial(_with, optimizer_in_backward=True, clip=None)
        text = "optimizer_in_backward: true, clip: null (gradients live for a moment)"
        changes.append(Change("batch_size", text, early))
    if all(shape.examples > 1 for shape in request.steps) and not train.optimizer_in_backward:
        changes.append(Change("batch_size", "half the batch, accumulate twice as often", _halve))
    if request.evaluation is not None and request.evaluation.examples > 1:
        changes.append(Change("eval_batch_size", "half the evaluation batch", _halve_evaluation))
    if request.method_options.get("layers") == "all":
        changes.append(
            Change("layers", "layers: upper-half (or a frozen lower half: back-propagation stops "
                   "there)", _upper_half)
        )  # fmt: skip
    return changes


def _with(request: Request, **values: Any) -> Request:
    return request.model_copy(update={"train": request.train.model_copy(update=values)})


def _may_step_early(request: Request) -> bool:
    train, method = request.train, get_method(request.method)(**request.method_options)
    if train.optimizer_in_backward or "in_backward" in method.obstacles():
        return False
    return train.accumulate == 1 and not train.dtypes.scaled


def _halve(request: Request) -> Request:
    halved = tuple(s._replace(examples=s.examples // 2) for s in request.steps)
    train = request.train.model_copy(update={"accumulate": 2 * request.train.accumulate})
    new = request.model_copy(update={"steps": halved, "train": train})
    return _halve_evaluation(new) if train.eval_batch_size is None else new


def _halve_evaluation(request: Request) -> Request:
    shapes = {"evaluation": request.evaluation, "probe": request.probe}
    halved = {n: s._replace(examples=max(1, s.examples // 2)) for n, s in shapes.items() if s}
    return request.model_copy(update=halved)


def _upper_half(request: Request) -> Request:
    options = {**request.method_options, "layers": "upper-half"}
    return request.model_copy(update={"method_options": options})
