"""The plain step over a model and a batch: forward, loss, backward, optimizer; or forward alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.errors import UserError
from harness.simulation.given.step import Given
from methods.wording import nearest

KEYS = ("model", "batch", "loss", "optimizer", "step")
AUTOCAST = {"bf16": torch.bfloat16}
FORMS = "return (model, batch), a step to call, or a dict of " + ", ".join(KEYS)


class How(NamedTuple):
    """What a step does.

    Attributes:
        step: with backward and optimizer, or one forward pass without gradients.
        clip: norm of the gradients; None: they are not clipped.
        autocast: type of the forward pass; None: none.
    """

    step: Literal["training", "inference"] = "training"
    clip: float | None = None
    autocast: str | None = None


def given_by(returned: Any, how: How) -> Given:
    """Return the step that a function has returned, or the plain one over what it has returned.

    Raises:
        UserError: it has returned something else.
    """
    parts = _parts(returned)
    if "step" in parts:
        return _own(parts, how)
    missing = [key for key in ("model", "batch") if key not in parts]
    if missing:
        raise UserError(f"{' and '.join(missing)} is missing; {FORMS}")
    model, batch = parts["model"], parts["batch"]
    if not isinstance(model, nn.Module):
        raise UserError(f"the model is a {type(model).__name__}, no torch.nn.Module; {FORMS}")
    if how.step == "inference":
        if "optimizer" in parts or "loss" in parts:
            raise UserError("step='inference' runs forward alone: leave out loss and optimizer")
        return Given(_inference(model.eval(), how), (model,), batch)
    optimizer = _optimizer(model, parts.get("optimizer"))
    total = torch.zeros(())  # as a loop keeps, to tell of its loss now and then
    step = _training(model.train(), optimizer, parts.get("loss"), how, total)
    return Given(step, (model, optimizer, total, parts.get("loss")), batch)


def _parts(returned: Any) -> dict[str, Any]:
    if isinstance(returned, Mapping):
        unknown = [key for key in returned if key not in KEYS]
        if unknown:
            raise UserError(f"unknown key {unknown[0]!r}; {nearest(unknown[0], KEYS)}")
        return {key: value for key, value in returned.items() if value is not None}
    if isinstance(returned, tuple) and len(returned) == 2:
        return dict(zip(("model", "batch"), returned, strict=True))
    if callable(returned) and not isinstance(returned, nn.Module):
        return {"step": returned}
    raise UserError(f"the function has returned {_named(returned)}; {FORMS}")


def _named(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"


def _own(parts: dict[str, Any], how: How) -> Given:
    """Return a step of the user's own; what stands beside it only says what lies on the card."""
    if how != How():
        raise UserError("a step of your own does all itself: leave out step=, clip= and autocast=")
    if "loss" in parts or "batch" in parts:
        raise UserError("a step of your own has its own batch and loss: leave them out")
    step = parts["step"]
    refers = tuple(parts[key] for key in ("model", "optimizer") if key in parts)
    return Given(lambda _inputs: step(), (step, *refers))


def _optimizer(model: nn.Module, given: Any) -> Optimizer:
    if isinstance(given, Optimizer):
        return given
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise UserError("nothing trains in the model; step='inference' runs forward alone")
    made = torch.optim.AdamW(trained) if given is None else given(trained)
    if not isinstance(made, Optimizer):
        raise UserError(f"optimizer: {_named(made)} is none of torch's optimizers")
    return made


def _training(
    model: nn.Module, optimizer: Optimizer, loss_of: Any, how: How, total: Tensor
) -> Callable[[Callable[[], Any]], None]:
    trained = [p for group in optimizer.param_groups for p in group["params"]]

    def step(inputs: Callable[[], Any]) -> None:
        batch = inputs()
        with _autocast(how):
            outputs = _call(model, batch)
            loss = _loss(outputs) if loss_of is None else loss_of(outputs, batch)
        del outputs
        loss.backward()
        total.add_(loss.detach())
        del batch, loss
        if how.clip is not None:
            nn.utils.clip_grad_norm_(trained, how.clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def _inference(model: nn.Module, how: How) -> Callable[[Callable[[], Any]], object]:
    def step(inputs: Callable[[], Any]) -> object:
        with torch.no_grad(), _autocast(how):
            return _call(model, inputs())

    return step


def _autocast(how: How) -> AbstractContextManager[Any]:
    if how.autocast is None:
        return nullcontext()
    return torch.autocast("cuda", AUTOCAST[how.autocast])


def _call(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, Sequence) else model(batch)


def _loss(outputs: Any) -> Tensor:
    """Return the loss in a model's outputs, or the outputs where they are one number.

    Raises:
        UserError: there is none.
    """
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    loss = outputs if loss is None and isinstance(outputs, Tensor) else loss
    if not isinstance(loss, Tensor) or loss.dim():
        raise UserError(
            "the model's outputs have no loss: give labels in the batch, or return "
            "{'model': model, 'batch': batch, 'loss': lambda outputs, batch: ...}"
        )
    return loss
