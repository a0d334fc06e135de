"""What seconds cost a forecast: CPU time with them over CPU time without, in one process.

Least of several tries, in turn. Requests are LoRA's (r 8 on query and value).

    python benchmarks/seconds_overhead.py [--tries 5] [--gpu l40s,h100]
"""

from __future__ import annotations

import argparse
import time

from harness.forecasting.cards import find_card, target_of
from harness.models.spec import ModelSpec
from harness.reporting.markdown import markdown_grid
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.step_forecast import forecast
from harness.suite.settings import TrainSettings
from harness.timing.clock import Clock

# model, family of its task, examples, tokens of every step
REQUESTS = [
    ("llama-2-7b", "causal_lm", 4, (512,)),
    ("bert-large-uncased", "classification", 16, (256,)),
    ("llama-3.2-3b", "causal_lm", 4, (120, 108, 97, 689, 350, 320)),
]


def request_of(
    model: str, family: str, examples: int, lengths: tuple[int, ...], gpu: str
) -> Request:
    """Return a step's request, evaluation included."""
    steps = tuple(BatchShape(examples, length) for length in lengths)
    return Request(
        model=ModelSpec(config=model), family=family, num_labels=2, method="lora",
        method_options={"r": 8, "targets": "qv"},
        train=TrainSettings(precision="bf16-weights", attention="sdpa"), steps=steps,
        evaluation=steps[0], mask=True, target=target_of(find_card(gpu)),
    )  # fmt: skip


def spent(request: Request, clocks: tuple[Clock, ...]) -> float:
    """Return the CPU seconds of a forecast."""
    began = time.process_time()
    forecast(request, (), clocks)
    return time.process_time() - began


def main() -> None:
    """Print one row per request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--gpu", default="l40s,h100")
    options = parser.parse_args()
    cards = [find_card(name) for name in options.gpu.split(",")]
    clocks = tuple(card.clock for card in cards if card.clock is not None)
    rows = []
    for model, family, examples, lengths in REQUESTS:
        request = request_of(model, family, examples, lengths, cards[0].name)
        forecast(request, (), clocks)  # imports
        tries = [(spent(request, ()), spent(request, clocks)) for _ in range(options.tries)]
        without, with_ = (min(each) for each in zip(*tries, strict=True))
        name = f"{model}, {examples} x {', '.join(map(str, lengths))}"
        rows.append([name, f"{without:.2f}", f"{with_:.2f}", f"{with_ / without:.2f}"])
    print(markdown_grid(["request", "without, s", "with, s", "ratio"], rows))


if __name__ == "__main__":
    main()
