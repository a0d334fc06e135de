"""How long forecasts take: one cold, a table of many, and against the number of layers.

python benchmarks/forecast.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.forecasting.pool import preload, run_forked
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.step_forecast import forecast
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings

ONE = """\
name: one
model: {config: llama-2-7b}
tasks: [{shape: {family: causal_lm, batch_size: 4, length: 512}}]
methods: [{lora: {r: 8, targets: qv}}]
train: {precision: bf16-weights}
"""
TABLE = """\
name: table
model: {config: bert-large-uncased}
tasks:
  - {shape: {family: classification, length: 128, num_labels: 2}, label: cola}
  - {shape: {family: classification, length: 128, num_labels: 2}, label: sst2}
  - {shape: {family: classification, length: 256, num_labels: 2}, label: mrpc}
  - {shape: {family: regression, length: 128}, label: stsb}
  - {shape: {family: classification, length: 256, num_labels: 2}, label: qqp}
  - {shape: {family: classification, length: 256, num_labels: 3}, label: mnli}
  - {shape: {family: classification, length: 448, num_labels: 2}, label: qnli}
  - {shape: {family: classification, length: 256, num_labels: 2}, label: rte}
methods:
  - full
  - bitfit
  - lora: {r: 4, targets: qv}
  - lora: {r: 8, targets: six}
  - lora: {r: 8, targets: qv, layers: upper-half}
  - elora: {r: 256}
  - elora: {r: 1024}
  - peft: {type: LORA, r: 8, use_dora: true, target_modules: qv}
  - peft: {type: IA3}
  - peft: {type: LOHA, r: 8, target_modules: qv}
  - peft: {type: LOKR, r: 8, target_modules: qv}
  - peft: {type: VERA, r: 64}
  - peft: {type: ADALORA, init_r: 12, target_modules: qv}
  - peft: {type: HRA, r: 8, target_modules: qv}
  - peft: {type: PREFIX_TUNING, num_virtual_tokens: 20}
train: {batch_size: 32, attention: eager}
"""
LAYERS = (24, 48, 96)


def command(suite: str) -> tuple[float, str]:
    """Run the command on a suite, with no cache, and return seconds and its output."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "suite.yaml"
        file.write_text(suite)
        line = [sys.executable, "-m", "harness.forecast", str(file), "--gpu", "a100-80",
                "--no-cache"]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return time.perf_counter() - began, done.stdout + done.stderr


def layered(count: int) -> Request:
    """Return a BERT-large of so many layers."""
    from harness.models import catalogue

    entry = catalogue.CATALOGUE["bert-large-uncased"]
    name = f"bert-{count}"
    catalogue.CATALOGUE[name] = catalogue.Architecture(
        entry.model_type, {**entry.config, "num_hidden_layers": count}
    )
    return Request(
        model=ModelSpec(config=name), family="classification", num_labels=2, method="lora",
        method_options={"r": 8, "targets": "qv"}, train=TrainSettings(),
        steps=(BatchShape(16, 128),), mask=True, target=Target(kind="cuda", capability=(8, 0)),
    )  # fmt: skip


def main() -> None:
    """Print the three measurements."""
    seconds, _ = command(ONE)
    print(f"LLaMA-2-7B LoRA, cold, whole command: {seconds:.1f} s", flush=True)
    preload(["bert", "llama"])
    requests = [layered(count) for count in LAYERS]
    for _, outcome in sorted(run_forked([(forecast, (r,)) for r in requests], 1)):
        count = LAYERS[requests.index(requests[_])]
        print(f"BERT-large with {count} layers: {outcome.seconds:.2f} s, "
              f"host peak {outcome.host_peak / 2**20:.0f} MiB", flush=True)  # fmt: skip
    seconds, text = command(TABLE)
    errors = [line for line in text.splitlines() if line.startswith("error")]
    print(f"15 methods x 8 tasks on BERT-large: {seconds:.0f} s; {len(errors)} errors")
    print("\n".join(errors))


if __name__ == "__main__":
    main()
