"""From a cell to everything its training run needs: data, model, method, meter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import UserError
from harness.metering.clock import Clock
from harness.metering.flops import StepFlops, fit_step_flops
from harness.metering.meter import Meter
from harness.models import load as models
from harness.probe import Probe
from harness.tasks import get_task
from harness.training.batches import Encoded, TrainingOrder, encode
from harness.training.precision import keep_head_fp32, set_matmul_mode, weight_dtype
from harness.training.state import Job
from methods import get_method, surgery
from methods.base import Plan

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from harness.suite.suite import Cell
    from harness.tasks.base import Task, TaskData
    from harness.training.checkpoint import Checkpoints
    from methods.base import Handle, Method

Known = dict[str, Any]


def build_job(
    cell: Cell,
    progress: Callable[[dict[str, Any]], None],
    known: Known,
    checkpoints: Checkpoints | None = None,
) -> Job:
    """Build the run of a cell; notes model and data in `known` for the record.

    Seeds are set twice, before the model is made and before the method is attached: head and
    adapter start the same whatever else drew random numbers in between.
    """
    settings = cell.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    set_matmul_mode(settings.precision)
    progress({"doing": "loading data"})
    task = get_task(cell.task.name)
    data = task.load(cell.data_request())
    known["data"] = _describe(data, cell.protocol)
    progress({"doing": "loading model"})
    model = _load_model(cell, task)
    known["model"] = models.provenance(cell.model)
    tokenizer = load_tokenizer(cell, data)
    encoded = encode(tokenizer, data.train, settings.max_length, task.regression)
    order = TrainingOrder(encoded, settings, cell.seed)
    progress({"doing": "attaching method"})
    plan = _plan(cell, order)
    torch.manual_seed(cell.seed)
    method = get_method(cell.method)(**cell.method_options)
    try:
        handle, head = attach(model, method, plan, settings, device)
    except ValueError as error:
        raise UserError(f"{cell.path}: {error}") from None
    torch.manual_seed(cell.seed)
    return Job(
        model=handle.model,
        handle=handle,
        plan=plan,
        head=head,
        task=task,
        data=data,
        order=order,
        probe=Probe(order, handle.num_probe, device),
        evaluations={
            name: encode(tokenizer, rows, settings.max_length, task.regression)
            for name, rows in data.evaluations.items()
        },
        settings=settings,
        device=device,
        keep_best=cell.keep_best,
        meter=Meter(handle.model, handle, device),
        clock=Clock(torch.cuda.synchronize if device.type == "cuda" else lambda: None),
        flops=lambda: _fit_flops(handle.model, encoded, device),
        progress=progress,
        checkpoints=checkpoints,
    )


def _plan(cell: Cell, order: TrainingOrder) -> Plan:
    return Plan(
        num_steps=order.num_steps,
        steps_per_epoch=order.steps_per_epoch,
        num_epochs=order.num_epochs,
        uncut_epochs=cell.train.epochs,
        seed=cell.seed,
        train_pooler=cell.train.train_pooler,
        keep_best=cell.keep_best,
    )


def _describe(data: TaskData, protocol: str) -> dict[str, Any]:
    return {
        "source": data.source,
        "fingerprint": data.fingerprint,
        "protocol": protocol,
        "train_rows": len(data.train),
        "evaluation_rows": {name: len(rows) for name, rows in data.evaluations.items()},
        "notes": list(data.notes),
    }


def _load_model(cell: Cell, task: Task) -> nn.Module:
    model = models.load_model(
        cell.model,
        task_head="regression" if task.regression else "classification",
        num_labels=task.num_labels,
        attention=cell.train.attention,
        dtype=weight_dtype(cell.train.precision),
        seed=cell.seed,
        use_cache=cell.train.keep_outputs,
    )
    positions = _positions(model)
    if positions is not None and cell.train.max_length > positions:
        raise UserError(
            f"train.max_length = {cell.train.max_length}: {cell.model.name} has {positions} "
            "positions"
        )
    return model


def _positions(model: nn.Module) -> int | None:
    """Return how many positions the model's embeddings have, or None where it has no limit."""
    config: Any = model.config
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if limit and config.model_type == "roberta":
        limit -= config.pad_token_id + 1  # RoBERTa counts positions from behind the padding id
    return int(limit) if limit else None


def load_tokenizer(cell: Cell, data: TaskData) -> Any:
    """Load the tokenizer of the cell's model; a config-only model's is made from the texts.

    Raises:
        UserError: the model's source has none.
    """
    texts = (text for row in data.train for text in (row.text, row.pair) if text)
    return models.load_tokenizer(cell.model, texts)


def attach(
    model: nn.Module, method: Method, plan: Plan, settings: TrainSettings, device: torch.device
) -> tuple[Handle, list[nn.Parameter]]:
    """Attach the method, with what precision and checkpointing ask of the model around it.

    Returns:
        The handle, and the parameters of head and pooler that train.
    """
    _move(model, device)  # whatever the method makes beside the model's tensors is there, too
    handle = method.attach(model, plan)
    adapter = {id(parameter) for parameter in handle.parameters()}
    named = {**surgery.head_parameters(handle.model), **surgery.pooler_parameters(handle.model)}
    head = [p for p in named.values() if p.requires_grad and id(p) not in adapter]
    if settings.precision == "bf16-weights":
        keep_head_fp32(handle.model, head)
    _move(handle.model, device)
    if settings.gradient_checkpointing:
        _enable_checkpointing(model)
    return handle, head


def _move(model: nn.Module, device: torch.device) -> None:
    # Fake parameters cannot be moved, and need not: they were made on the device.
    if any(p.device.type != device.type for p in model.parameters()):
        model.to(device)


def _enable_checkpointing(model: Any) -> None:
    """Recompute layers in backward, without making the embeddings' output need a gradient.

    transformers hooks the embeddings so that reentrant checkpointing works; with that hook a frozen
    prefix saves nothing, and the non-reentrant kind does not need it.
    """
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if getattr(model, "_require_grads_hook", None) is not None:
        model.disable_input_require_grads()


def _fit_flops(model: nn.Module, data: Encoded, device: torch.device) -> StepFlops:
    """Fit the FLOPs of a training step to (examples, padded length), for the current phase."""
    shortest = min(range(len(data)), key=lambda i: len(data.features["input_ids"][i]))
    least = len(data.features["input_ids"][shortest])

    def make(examples: int, length: int) -> dict[str, torch.Tensor]:
        whole = data.batch([shortest] * examples, max(length, least))
        # A longer example loses tokens before its last one, which some models look for.
        keep = [*range(length - 1), max(length, least) - 1]
        cut = {name: v[:, keep] if v.dim() > 1 else v for name, v in whole.items()}
        return {name: value.to(device) for name, value in cut.items()}

    return fit_step_flops(model, make)
