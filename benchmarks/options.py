"""What every memory option does to the forecast of eight full-size models, and to which tensors.

LoRA r 8 on query and value; each option is one change from fp32, eager attention, padded batches.

    python benchmarks/options.py [--gpu a100-80] [--only llama] [--out table.md]
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from harness.forecasting.cache import cache_folder
from harness.forecasting.cards import find_card, target_of
from harness.forecasting.forecaster import Asked, Forecaster
from harness.models.spec import ModelSpec
from harness.reporting.markdown import markdown_grid
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings
from harness.units import gib

# model, family of its task, examples, tokens
MODELS = [
    ("bert-large-uncased", "classification", 16, 256),
    ("roberta-large", "classification", 16, 256),
    ("deberta-v3-base", "classification", 16, 256),
    ("gpt2-large", "causal_lm", 4, 512),
    ("llama-2-7b", "causal_lm", 2, 512),
    ("bart-large", "seq2seq", 8, 256),
    ("vit-large-patch16-224", "image", 16, 1),
    ("swin-large-patch4-window7-224", "image", 16, 1),
]
OPTIONS: dict[str, dict[str, object]] = {
    "fp32, eager": {},
    "sdpa": {"attention": "sdpa"},
    "sdpa, no padding": {"attention": "sdpa", "mask": False},
    "bf16 autocast": {"precision": "bf16"},
    "fp16 autocast": {"precision": "fp16"},
    "bf16 weights": {"precision": "bf16-weights"},
    "bf16 weights, sdpa, no padding": {
        "precision": "bf16-weights", "attention": "sdpa", "mask": False
    },
    "checkpointing": {"gradient_checkpointing": True},
    "half the batch, twice": {"accumulate": 2},
}  # fmt: skip
SPLIT = ("weights.base", "gradients", "optimizer", "activations", "temporary")


def make(model: str, family: str, size: tuple[int, int], name: str, target: Target) -> Request:
    """Return the request of one model with one option."""
    changes = dict(OPTIONS[name])
    mask = bool(changes.pop("mask", True))
    settings = {"attention": "eager", **changes}
    examples = size[0] // 2 if "accumulate" in changes else size[0]
    return Request(
        model=ModelSpec(config=model), family=family, num_labels=2, method="lora",
        method_options={"r": 8, "targets": "qv"}, train=TrainSettings(**settings),
        steps=(BatchShape(examples, size[1]),), mask=mask, target=target,
    )  # fmt: skip


def moved(before: StepForecast, after: StepForecast, count: int = 3) -> str:
    """Name the tensors whose bytes at the peak changed most."""
    sizes: Counter[str] = Counter()
    for outcome, sign in ((before, -1), (after, 1)):
        for hold in outcome.holds:
            place = hold.path.split(".*.")[-1] or "loss"
            sizes[f"{place} {hold.op.removeprefix('aten::')}"] += sign * hold.num_bytes
    largest = sorted(sizes.items(), key=lambda item: -abs(item[1]))[:count]
    return ", ".join(f"{name} {size / 2**20:+,.0f}" for name, size in largest if size)


def main() -> None:
    """Print one table per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", default="a100-80")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    target = target_of(find_card(options.gpu))
    chosen = [entry for entry in MODELS if options.only in entry[0]]
    keys = [(entry, name) for entry in chosen for name in OPTIONS]
    asked = [
        Asked(make(model, family, (examples, length), name, target))
        for (model, family, examples, length), name in keys
    ]
    answers = dict(zip(keys, Forecaster(cache_folder()).ask(asked), strict=True))
    parts = []
    for entry in chosen:
        base = answers[entry, "fp32, eager"]
        rows = []
        for name in OPTIONS:
            answer = answers[entry, name]
            if not isinstance(answer, StepForecast):
                rows.append([name, *["-"] * 7, str(answer).split(". ")[0][:80]])
                continue
            figures = (answer.peak_allocated, answer.peak_reserved)
            split = (answer.split[part] for part in SPLIT)
            why = (
                moved(base, answer) if isinstance(base, StepForecast) and answer is not base else ""
            )
            rows.append([name, *map(gib, figures), *map(gib, split), why])
        headers = ["option", "peak", "reserved", *SPLIT, "moved most, MiB"]
        title = f"{entry[0]}, {entry[2]} x {entry[3]}"
        parts.append(f"## {title}\n\n{markdown_grid(headers, rows)}\n")
    text = "\n".join(parts)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
