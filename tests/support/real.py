"""The steps of a request on real tensors of the CPU, under the ledger."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.metering.declared import declared_tensors
from harness.metering.ledger import Ledger, LedgerReport
from harness.models.load import load_model
from harness.simulation.request import Request
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.precision import weight_dtype
from methods import get_method


def real_batch(asked: Request, model: nn.Module) -> dict[str, Tensor]:
    """Return the first step's batch with values; one token is padding if its shape says so."""
    shape = asked.steps[0]
    hollow = asked.hollow_batch(model, shape)
    torch.manual_seed(1)
    batch = {
        name: torch.randint(0, 2, value.shape) if value.dtype == torch.int64
        else torch.randn(value.shape, dtype=value.dtype)
        for name, value in hollow.items()
    }  # fmt: skip
    if "attention_mask" in batch:
        batch["attention_mask"].fill_(1)
        batch["attention_mask"][0, -1] = int(not shape.padded)
    return batch


def real_model(asked: Request) -> nn.Module:
    """Return the request's model with random weights."""
    settings = asked.train
    return load_model(
        asked.model, family=get_family(asked.family), num_labels=2, attention=settings.attention,
        dtype=weight_dtype(settings.precision), seed=0, use_cache=settings.keep_outputs,
    )  # fmt: skip


def real_run(asked: Request) -> LedgerReport:
    """Run the request's first step twice; report the second one."""
    settings = asked.train
    method = get_method(asked.method)(**asked.method_options)
    state = build_step(
        real_model(asked), method, asked.plan(), settings, torch.device("cpu"),
        get_family(asked.family), stage=asked.stage,
    )  # fmt: skip
    known = declared_tensors(state.model, state.handle)
    ledger = Ledger(known, optimizer=state.optimizer, model=state.model)
    since = 0
    with ledger:
        for number in range(2):
            since = len(ledger.events) if number else 0
            batches = (real_batch(asked, state.model) for _ in range(settings.accumulate))
            state.step.run(number, batches, asked.parts(), ledger)
    return ledger.report(since, 10_000)
