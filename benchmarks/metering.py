"""Time of an audited training step against a plain one, side by side in one process.

The quick suite's model, a batch of its own data as it is and padded to 64 tokens. Plain and
audited steps alternate, and their ratios are taken pair by pair. Audits are rare in a run (two
steps of a phase), so this bounds the ledger's price; it is not the price of a run.

    python benchmarks/metering.py [--pairs 15] [--threads 2]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from pathlib import Path

import torch

from harness.metering.watch import NoWatch
from harness.suite.load import load_suite
from harness.training.setup import Setup, load_cell_data, load_cell_model, set_up

SUITE = Path("suites/quick.yaml")


def make_setup(method: str, attention: str, padding: str) -> Setup:
    """Return the quick suite's run of one method."""
    overrides = [
        f"methods=[{method}]", f"train.attention={attention}", "train.max_steps=200",
        f"train.padding={padding}",
        "tasks=[{name: acceptability, evaluation_rows: 32}]",
    ]  # fmt: skip
    cell = load_suite(SUITE, overrides).cells()[0]
    return set_up(cell, load_cell_data(cell), load_cell_model(cell), lambda _event: None)


def seconds(setup: Setup, batches: list[list[int]], audited: bool) -> float:
    """Run one step; an audit's time includes opening and closing the ledger, not its report."""
    began = time.perf_counter()
    made = (setup.order.tensors(batch, setup.device) for batch in batches)
    if audited:
        ledger = setup.meter._ledger(setup.state.optimizer)
        with ledger:
            setup.state.step.run(0, made, setup.order.parts(batches), ledger)
    else:
        setup.state.step.run(0, made, setup.order.parts(batches), NoWatch())
    return time.perf_counter() - began


def main() -> None:
    """Print the median ratio of each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = itertools.product((("full", "eager"), ("lora", "sdpa")), ("longest", "max"))
    for (method, attention), padding in cases:
        setup = make_setup(method, attention, padding)
        setup.model.train()
        batch = setup.order.epoch(0)[0]
        for audited in (False, True):  # first steps allocate what later ones reuse
            seconds(setup, batch, audited)
        ratios, plain = [], []
        for index in range(options.pairs):
            order = (False, True) if index % 2 else (True, False)
            took = {audited: seconds(setup, batch, audited) for audited in order}
            ratios.append(took[True] / took[False])
            plain.append(took[False])
        examples, length, _ = setup.order.shape(batch[0])
        middle = statistics.median(ratios)
        print(f"{method:5} {attention:6} {examples} x {length} tokens: plain "
              f"{statistics.median(plain) * 1e3:6.1f} ms  audited / plain: median {middle:.3f}  "
              f"min {min(ratios):.3f}  max {max(ratios):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
