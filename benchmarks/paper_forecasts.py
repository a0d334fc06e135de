"""The suites of both papers at full size, forecast: one table with the papers' figures beside it.

No hub and no GPU: models are the catalogue's configs. Tasks of one suite that have the same shapes
have the same peak, so that one of them stands for all.

    python benchmarks/paper_forecasts.py [--only safe_squad ...] > reports/papers/README.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.units import gib, millions

CARDS = ("rtx4090", "a6000")
# Suite -> overrides that choose what stands for all of its cells, and the paper's table.
SUITES: dict[str, tuple[tuple[str, ...], str]] = {
    "glue": (("tasks=[rte]",), "AFLoRA Table 1"),
    "aflora_ablations": (("tasks=[rte]",), "AFLoRA Tables 4, 5, 8 and Fig. 4"),
    "aflora_gsm8k": ((), "AFLoRA Table 2"),
    "aflora_cnn_dailymail": ((), "AFLoRA Table 3"),
    "safe_glue": (("tasks=[rte]",), "SAFE Table 1"),
    "safe_squad": ((), "SAFE Table 2"),
    "safe_e2e": ((), "SAFE Table 3"),
    "safe_vision": (("tasks=[cifar10]",), "SAFE Table 5"),
    "safe_adapters": (("tasks=[rte]",), "SAFE Table 6"),
    "safe_wikitext": ((), "SAFE Fig. 6"),
    "safe_memory_breakdown": ((), "SAFE Fig. 1b"),
}
# (suite, model, method) -> the paper's memory in "GB"; the peak's kind and the unit are not said.
MEMORY: dict[tuple[str, str, str], str] = {
    ("safe_glue", "bert-large-uncased", "lora"): "20.35",
    ("safe_glue", "bert-large-uncased", "lora-upper-half"): "11.20",
    ("safe_glue", "bert-large-uncased", "lora-adapterdrop"): "20.35",
    ("safe_glue", "bert-large-uncased", "lora-sparseadapter"): "20.35",
    ("safe_glue", "bert-large-uncased", "lora-loraprune"): "10.37",
    ("safe_glue", "bert-large-uncased", "lora-meft"): "11.15",
    ("safe_glue", "bert-large-uncased", "lora-safe"): "12.11",
    ("safe_squad", "bert-base-uncased", "lora"): "5.95",
    ("safe_squad", "bert-base-uncased", "lora-safe"): "4.61",
    ("safe_squad", "bert-large-uncased", "lora"): "15.79",
    ("safe_squad", "bert-large-uncased", "lora-safe"): "7.44",
    ("safe_squad", "roberta-base", "lora"): "11.51",
    ("safe_squad", "roberta-base", "lora-safe"): "7.80",
    ("safe_squad", "roberta-large", "lora"): "17.73",
    ("safe_squad", "roberta-large", "lora-safe"): "3.56",
    ("safe_e2e", "gpt2-medium", "lora"): "16.97 (mean of both)",
    ("safe_e2e", "gpt2-medium", "lora-safe"): "11.90 (mean of both)",
    ("safe_e2e", "gpt2-large", "lora"): "16.97 (mean of both)",
    ("safe_e2e", "gpt2-large", "lora-safe"): "11.90 (mean of both)",
    ("safe_wikitext", "Llama-2-7b-hf", "lora"): "66.35",
    ("safe_wikitext", "Llama-2-7b-hf", "lora-safe"): "34.20",
}
# The same -> trained parameters in millions, as printed; AFLoRA's are means over training.
PARAMETERS: dict[tuple[str, str, str], str] = {
    ("glue", "deberta-v3-base", "full"): "184",
    ("glue", "deberta-v3-base", "lora-r8"): "1.33",
    ("glue", "deberta-v3-base", "elora-r1024"): "0.16",
    ("glue", "deberta-v3-base", "aflora-r4"): "0.14 (mean)",
    ("aflora_gsm8k", "llama-7b-hf", "lora"): "56.1",
    ("aflora_gsm8k", "llama-7b-hf", "aflora"): "17.8 (mean)",
    ("aflora_cnn_dailymail", "bart-large", "lora"): "8.65",
    ("aflora_cnn_dailymail", "bart-large", "aflora"): "5.10 (mean)",
    ("aflora_ablations", "deberta-v3-base", "projections-trainable"): "0.45",
    ("aflora_ablations", "deberta-v3-base", "projections-frozen"): "0.08",
}
HEAD = """\
# Both papers at full size, forecast

`python benchmarks/paper_forecasts.py > reports/papers/README.md`: no GPU, no hub, models by the
catalogue's configs. Peak: allocated in a training step, GiB of 2^30 B, at its first stage and,
where something freezes, at its last. Fits: training and what goes on beside it (evaluation, a
method's probe), reserved and with CUDA's context; in brackets what needs the most, where it is
not training. Parameters: trained ones of the adapter.

The papers' figures stand beside, as printed: "GB" is not said to be 10^9 or 2^30 B, nor which
peak it is, whether of one card or of two; a row under SAFE is a figure of the whole run, and
AFLoRA's parameters are means over training. RoBERTa-large under LoRA on SQuAD (17.73, here 15.88:
10.4 % below) fits nothing that was tried. What each suite assumes is in its file, under
`assumed`.
"""


def forecast(suite: str, overrides: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the entries of `headroom forecast` with one seed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forecast.json"
        command = [
            sys.executable, "-m", "harness.forecast", f"suites/{suite}.yaml", *overrides,
            "seeds=[0]", "--catalogued", "--gpu", ",".join(CARDS), "--json", str(file),
        ]  # fmt: skip
        subprocess.run(command, stdout=sys.stderr, check=False)
        if not file.exists():  # what is wrong with the suite is told above
            raise SystemExit(f"no forecast of {suite}")
        entries: list[dict[str, Any]] = json.loads(file.read_text())
    return entries


def lines(suite: str, entries: list[dict[str, Any]]) -> list[str]:
    """Return the suite's rows: first and last stage of each method on each model."""
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for entry in entries:
        stages = cells.setdefault((entry["model"], entry["method"]), {})
        stages.setdefault(entry["stage"], {})[entry["gpu"]] = entry
    rows = []
    for (model, method), stages in cells.items():
        first, last = next(iter(stages)), list(stages)[-1]
        one = stages[first][CARDS[0]]
        if one["error"]:
            rows.append([model, method, "", "", f"none: {one['error']}", "", "", "", ""])
            continue
        key = (suite, model, method)
        peaks = [gib(stages[stage][CARDS[0]]["peak_allocated"]) for stage in (first, last)]
        rows.append([
            model, method, "x".join(str(size) for size in max(one["steps"]) if size > 1),
            millions(one["adapter_trainable"]), PARAMETERS.get(key, ""),
            " to ".join(dict.fromkeys(peaks)), MEMORY.get(key, ""),
            *(fits(stages[first][card]) for card in CARDS),
        ])  # fmt: skip
    return [f"| {' | '.join(row)} |" for row in rows]


def fits(entry: dict[str, Any]) -> str:
    """Say whether it fits, and what decides where it is not training."""
    decides = "" if entry["decides"] == "training" else f" ({entry['decides']})"
    return f"{entry['fits']} {entry['margin'] / 2**30:+.1f}{decides}"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(SUITES))
    print(HEAD)
    for suite in parser.parse_args().only:
        overrides, table = SUITES[suite]
        chosen = f" ({', '.join(overrides)})" if overrides else ""
        print(f"## {table}: `suites/{suite}.yaml`{chosen}\n")
        print(
            "| model | method | batch | parameters | paper | peak | paper's GB | RTX 4090 | A6000 |"
        )
        print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |")
        print("\n".join(lines(suite, forecast(suite, overrides))), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
