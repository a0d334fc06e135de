"""The steps of a request on real tensors of the CPU, under the ledger."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.metering.declared import declared_tensors
from harness.metering.ledger import Ledger, LedgerReport
from harness.simulation.request import Request
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.base import untrained
from harness.training.kernels import pinned_kernel
from harness.training.state import TrainState
from methods import get_method

ORDINARY = 7  # the first id that is no special token


def real_batch(asked: Request, model: nn.Module) -> dict[str, Tensor]:
    """Return the first step's batch with values; one token is padding if its shape says so."""
    shape = asked.steps[0]
    hollow = asked.hollow_batch(model, shape)
    torch.manual_seed(1)
    batch = {
        name: torch.randint(0, 2, value.shape) if value.dtype == torch.int64
        else torch.randn(value.shape).to(value.dtype)
        for name, value in hollow.items()
    }  # fmt: skip
    if "input_ids" in batch:  # no special tokens, but for those that some heads look for
        batch["input_ids"] += ORDINARY
        end = getattr(model.config, "eos_token_id", None)
        if asked.family == "classification" and isinstance(end, int):
            batch["input_ids"][:, -1] = end
    if "attention_mask" in batch:
        batch["attention_mask"].fill_(1)
        batch["attention_mask"][0, -1] = int(not shape.padded)
    return batch


def real_model(asked: Request) -> nn.Module:
    """Return the request's model with random weights."""
    torch.manual_seed(0)
    return untrained(asked.model, get_family(asked.family), asked.num_labels, asked.train)


def real_state(asked: Request) -> TrainState:
    """Return the request's method on its model, before the first step."""
    method = get_method(asked.method)(**asked.method_options)
    return build_step(
        real_model(asked), method, asked.plan(), asked.train, torch.device("cpu"),
        get_family(asked.family), stage=asked.stage,
    )  # fmt: skip


def real_run(asked: Request) -> LedgerReport:
    """Run the request's first step twice; report the second one."""
    settings, state = asked.train, real_state(asked)
    known = declared_tensors(state.model, state.handle)
    ledger = Ledger(known, optimizer=state.optimizer, model=state.model)
    since = 0
    with pinned_kernel(settings.attention), ledger:
        for number in range(2):
            since = len(ledger.events) if number else 0
            batches = (real_batch(asked, state.model) for _ in range(settings.accumulate))
            state.step.run(number, batches, asked.parts(), ledger)
    return ledger.report(since, 10_000)
