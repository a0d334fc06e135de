"""Step time of AFLoRA and LoRA against ELoRA, side by side in one process.

A DeBERTa of 192 hidden units, so that rank over width is the published one: ELoRA's 1024 over 768
is 256 over 192, AFLoRA's 4 is 1, LoRA's 8 is 2. Steps alternate in turn, ratios are taken within a
turn. Published (AFLoRA, Fig. 3, RTX A6000): AFLoRA .540, LoRA .653 of ELoRA's runtime.

    python benchmarks/projections.py [--turns 15] [--threads 2] [--batch 16] [--length 128]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from harness.metering.watch import NoWatch
from harness.suite.settings import TrainSettings
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.step import Step
from methods import Plan, get_method
from methods.base import Stage

SETTINGS = TrainSettings(attention="eager", clip=0.1, weight_decay=0.1, epochs=20)
PLAN = Plan(num_steps=20_000, steps_per_epoch=1000, num_epochs=20)
ARMS: dict[str, tuple[str, dict[str, Any], float]] = {
    "elora-r256": ("elora", {"r": 256}, 0.0),
    "lora-r2": ("lora", {"r": 2}, 0.0),
    "aflora-r1, all train": ("aflora", {"r": 1}, 0.0),
    "aflora-r1, all frozen": ("aflora", {"r": 1}, 1.0),
}


def make_step(method: str, options: dict[str, Any], frozen: float) -> Step:
    """Return the harness's own step on a small DeBERTa, in a stage of the method."""
    torch.manual_seed(0)
    config = DebertaV2Config(
        hidden_size=192, num_hidden_layers=6, num_attention_heads=6, intermediate_size=768,
        vocab_size=8000, max_position_embeddings=512, relative_attention=True,
        position_buckets=64, pos_att_type=["p2c", "c2p"], share_att_key=True,
        norm_rel_ebd="layer_norm", position_biased_input=False, attn_implementation="eager",
        pooler_hidden_size=192,
    )  # fmt: skip
    model = DebertaV2ForSequenceClassification(config)
    return build_step(
        model.train(), get_method(method)(**options), PLAN, SETTINGS, torch.device("cpu"),
        get_family("classification"), stage=Stage("", frozen),
    ).step  # fmt: skip


def main() -> None:
    """Print each arm's median ratio to ELoRA."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ids = torch.randint(5, 8000, (options.batch, options.length))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
    steps = {name: make_step(*arm) for name, arm in ARMS.items()}
    ratios: dict[str, list[float]] = {name: [] for name in ARMS}
    for turn in range(options.turns + 2):  # two to warm up
        took = {}
        for name in sorted(ARMS, reverse=bool(turn % 2)):
            began = time.perf_counter()
            steps[name].run(turn, [batch], 1, NoWatch())
            took[name] = time.perf_counter() - began
        for name in ARMS if turn > 1 else ():
            ratios[name].append(took[name] / took["elora-r256"])
    for name, found in ratios.items():
        middle = statistics.median(found)
        print(f"{name:22} / elora-r256: median {middle:.3f}  min {min(found):.3f}  "
              f"max {max(found):.3f}  speed-up {1 / middle:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
