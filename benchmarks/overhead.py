"""Training time of the harness against a bare loop and against transformers.Trainer.

The same model, adapter, examples in the same order, optimizer, schedule and clipping; the arms run
in turn inside one process and their ratios are taken round by round. Evaluation and metering are
outside of the time in all three.

    python benchmarks/overhead.py [--rounds 7] [--steps 60]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments, get_linear_schedule_with_warmup

from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.training.batches import TrainingOrder
from harness.training.loop import CHECK_EVERY, Loop
from harness.training.setup import Setup, load_cell_data, load_cell_model, set_up

SUITE = Path("suites/quick.yaml")


def make_cell(steps: int) -> Cell:
    """Return the LoRA cell of the quick suite, cut to `steps` steps and one small evaluation."""
    overrides = [
        f"train.max_steps={steps}",
        "train.warmup=0",
        "train.head_lr=null",
        "methods=[lora]",
        "tasks=[{name: acceptability, evaluation_rows: 32}]",
    ]
    return load_suite(SUITE, overrides).cells()[0]


def fresh_setup(cell: Cell) -> Setup:
    """Return the cell's model, adapter and data, seeded anew."""
    return set_up(cell, load_cell_data(cell), load_cell_model(cell), lambda _event: None)


class Rows(Dataset[dict[str, Any]]):
    """Tokenised rows, as any script would hold them."""

    def __init__(self, order: TrainingOrder) -> None:
        self.features, self.labels = order.data.features, order.data.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**{k: v[index] for k, v in self.features.items()}, "labels": self.labels[index]}


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad to the longest row; every padding id of this model is 0."""
    width = max(len(row["input_ids"]) for row in rows)
    batch = {
        name: torch.tensor([row[name] + [0] * (width - len(row[name])) for row in rows])
        for name in rows[0]
        if name != "labels"
    }
    return {**batch, "labels": torch.stack([row["labels"] for row in rows])}


def loader(order: TrainingOrder) -> DataLoader[dict[str, torch.Tensor]]:
    """Return a plain loader that yields the harness's batches in the harness's order."""
    steps = itertools.chain.from_iterable(map(order.epoch, range(order.num_epochs)))
    batches = [step[0] for step in steps]
    # Without a generator of its own a loader draws a number from the one that dropout uses.
    return DataLoader(
        Rows(order), batch_sampler=batches, collate_fn=collate, generator=torch.Generator()
    )


def harness_arm(setup: Setup) -> tuple[float, float]:
    """Run the harness's loop; its time is all of the run but evaluation and metering."""
    loop = Loop(setup)
    began = time.perf_counter()
    loop.run()
    wall = time.perf_counter() - began
    report = setup.clock.report()
    return wall - report.evaluation - report.metering, loop.result.final_loss


def bare_arm(setup: Setup) -> tuple[float, float]:
    """Run the loop that a person would write by hand around peft's model."""
    settings, model = setup.settings, setup.model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, setup.order.num_steps)
    losses: list[float] = []
    model.train()
    began = time.perf_counter()
    for batch in loader(setup.order):
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip or 1e9)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return time.perf_counter() - began, statistics.fmean(losses[-CHECK_EVERY:])


def trainer_arm(setup: Setup) -> tuple[float, float]:
    """Run transformers.Trainer over the same loader, with nothing switched on that we do not do."""
    settings = setup.settings

    class SameOrder(Trainer):
        def get_train_dataloader(self) -> DataLoader[Any]:
            return loader(setup.order)

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=setup.order.num_steps, learning_rate=settings.lr,
            weight_decay=settings.weight_decay, max_grad_norm=settings.clip or 1e9,
            lr_scheduler_type="linear", warmup_steps=0, logging_steps=CHECK_EVERY,
            save_strategy="no", report_to="none", disable_tqdm=True, optim="adamw_torch",
            remove_unused_columns=False, use_cpu=not torch.cuda.is_available(),
        )  # fmt: skip
        trainer = SameOrder(setup.model, arguments, train_dataset=Rows(setup.order))
        torch.manual_seed(setup.order.seed)  # Trainer reseeds; dropout must draw the same numbers
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return seconds, float(losses[-1])


def rounds(count: int) -> Iterator[list[str]]:
    """Yield the arms' order of each round, rotated so that none always goes first."""
    names = ["harness", "bare", "trainer"]
    for index in range(count):
        yield names[index % 3 :] + names[: index % 3]


def main() -> None:
    """Run the rounds and print medians and paired ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    cell = make_cell(options.steps)
    arms: dict[str, Callable[[Setup], tuple[float, float]]] = {
        "harness": harness_arm, "bare": bare_arm, "trainer": trainer_arm
    }  # fmt: skip
    for arm in arms.values():  # one round that does not count
        arm(fresh_setup(make_cell(CHECK_EVERY)))
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    losses: dict[str, set[str]] = {name: set() for name in arms}
    for order in rounds(options.rounds):
        for name in order:
            spent, loss = arms[name](fresh_setup(cell))
            seconds[name].append(spent)
            losses[name].add(f"{loss:.6f}")
    for name, values in seconds.items():
        print(f"{name:8} median {statistics.median(values):.3f} s  final loss {losses[name]}")
    for other in ("bare", "trainer"):
        pairs = [a / b for a, b in zip(seconds["harness"], seconds[other], strict=True)]
        print(f"harness / {other}: median {statistics.median(pairs):.4f}  "
              f"min {min(pairs):.4f}  max {max(pairs):.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
