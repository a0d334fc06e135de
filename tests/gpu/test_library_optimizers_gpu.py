"""What optimizers of bitsandbytes and torchao keep and take on a real GPU."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.metering.ledger import Ledger
from harness.suite.optimizers import FP8_CAPABILITY, OPTIMIZERS
from harness.suite.settings import TrainSettings
from harness.training.hollow_optimizers import PAGED_FROM
from harness.training.optim import make_optimizer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
# One that is paged, one that is in 8 bits and one that is neither.
SIZES = ((4096, 1024), (64, 128), (1024,))


def matrices(device: str) -> nn.ParameterList:
    made: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    return nn.ParameterList(nn.Parameter(torch.zeros(size, **made)) for size in SIZES)


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


@pytest.mark.parametrize("name", [name for name, kind in OPTIMIZERS.items() if kind.package])
def test_states_are_those_of_a_forecast_and_a_step_takes_nothing(name: str) -> None:
    pytest.importorskip(str(OPTIMIZERS[name].package))
    if name.endswith("fp8") and torch.cuda.get_device_capability() < FP8_CAPABILITY:
        pytest.skip("no fp8 here")
    assert SIZES[0][0] * SIZES[0][1] >= PAGED_FROM
    settings, real, hollow = TrainSettings(optimizer=name), matrices("cuda"), matrices("meta")
    optimizer = make_optimizer(real, [], settings)
    stands = make_optimizer(hollow, [], settings, foreach=True)
    for parameter in (*real, *hollow):
        parameter.grad = torch.ones_like(parameter)
    gc.collect()
    before = torch.cuda.memory_allocated()
    optimizer.step()
    stands.step()
    torch.cuda.synchronize()
    gc.collect()
    kept = torch.cuda.memory_allocated() - before
    states = {id(t): t for t in tensors(dict(stands.state)) if t.is_meta}
    assert kept == sum(-(-state.nbytes // 512) * 512 for state in states.values())
    torch.cuda.reset_peak_memory_stats()
    optimizer.step()
    torch.cuda.synchronize()
    beside = torch.cuda.max_memory_allocated() - before - kept
    print(name, "keeps", kept, "and its step takes", beside)
    assert beside <= 64 * 1024


def test_a_compiled_step_is_let_alone_by_the_ledger() -> None:
    """torchao compiles while a step is audited; tracing the ledger would fail."""
    pytest.importorskip("torchao")
    net = matrices("cuda")
    optimizer = make_optimizer(net, [], TrainSettings(optimizer="adamw-torchao-8bit"))
    for parameter in net:
        parameter.grad = torch.ones_like(parameter)
    with Ledger({"weights.base": net}, optimizer=optimizer, rounding=512, device="cuda") as ledger:
        ledger.mark("optimizer")
        optimizer.step()
        ledger.mark("end")
    assert ledger.report().split["optimizer"] >= 2 * SIZES[0][0] * SIZES[0][1]
