"""Which architectures of transformers a forecast goes through for, with the config of their class.

python benchmarks/architectures.py [--out reports/architectures] [--all] [TYPE ...]

Every pair of model type and kind of task is forecast with full fine-tuning and with LoRA on all
linear layers, for an A100 of 80 GB: 4 examples of 128 tokens, or 4 images, in fp32. The config is
that of the class without arguments, as a folder with a config.json.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.forecasting.cards import CARDS
from harness.forecasting.pool import preload, run_forked
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.step_forecast import forecast
from harness.simulation.target import Target
from harness.suite.settings import TrainSettings

METHODS: dict[str, dict[str, Any]] = {"full": {}, "lora": {"targets": "all-linear"}}
EXAMPLES, LENGTH = 4, 128
# Kinds of tasks, with transformers' table of the model types that have a head for them.
KINDS = {
    "causal_lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "question_answering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
}
# What is in wide use, by our judgement: the families of the hub's most loaded checkpoints.
WIDE = {
    "causal_lm": """bloom codegen cohere cohere2 deepseek_v3 falcon falcon_h1 falcon_mamba gemma
        gemma2 gemma3 gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite
        granitemoe jamba lfm2 llama llama4_text mamba mamba2 mistral mixtral mpt nemotron olmo
        olmo2 olmoe opt phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe qwen3_next rwkv smollm3
        stablelm starcoder2""",
    "classification": """albert bart bert big_bird camembert deberta deberta-v2 distilbert electra
        gemma2 gpt2 llama longformer mistral mobilebert modernbert mpnet phi3 qwen2 qwen3 rembert
        roberta t5 xlm-roberta xlnet""",
    "question_answering": """albert bart bert big_bird camembert deberta deberta-v2 distilbert
        electra longformer mobilebert modernbert mpnet roberta t5 xlm-roberta xlnet""",
    "seq2seq": """bart bigbird_pegasus blenderbot fsmt led longt5 m2m_100 marian mbart mt5 pegasus
        plbart prophetnet switch_transformers t5 umt5""",
    "image": """beit convnext convnextv2 cvt data2vec-vision deit dinov2 dinov2_with_registers
        hiera levit mobilevit poolformer pvt segformer siglip swin swinv2 vit""",
}


class Row(NamedTuple):
    """One forecast: through if there is no reason why not."""

    kind: str
    model_type: str
    method: str
    wide: bool
    parameters: int
    peak_allocated: int
    seconds: float
    reason: str


def pairs(types: Sequence[str] = (), every: bool = False) -> Iterator[tuple[str, str]]:
    """Yield kinds of tasks and model types: those in wide use, or all that transformers has."""
    from transformers.models.auto import modeling_auto

    for kind, table in KINDS.items():
        chosen = getattr(modeling_auto, table) if every or types else WIDE[kind].split()
        yield from ((kind, name) for name in chosen if not types or name in types)


def attention_of(kind: str, model_type: str) -> str:
    """Return the kernel that transformers would choose: sdpa where the class knows it."""
    import transformers
    from transformers.models.auto import modeling_auto

    name = getattr(modeling_auto, KINDS[kind])[model_type]
    model: Any = getattr(transformers, name if isinstance(name, str) else name[0])
    return "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"


def request(
    folder: Path, kind: str, model_type: str, method: str, target: Target, length: int = LENGTH
) -> Request:
    """Return the request of a pair, whose config.json lies in `folder`."""
    return Request(
        model=ModelSpec(path=str(folder)), family=kind, num_labels=2, method=method,
        method_options=METHODS.get(method, {}),
        train=TrainSettings(attention=attention_of(kind, model_type)),
        steps=(BatchShape(EXAMPLES, 1 if kind == "image" else length, padded=False),),
        mask=True, target=target,
    )  # fmt: skip


def ask(kind: str, model_type: str, method: str) -> Any:
    """Forecast a pair; run it in a fork."""
    from transformers import CONFIG_MAPPING

    card = CARDS["a100-80"]
    with tempfile.TemporaryDirectory() as folder:
        CONFIG_MAPPING[model_type]().save_pretrained(folder)
        target = Target(kind="cuda", capability=card.capability)
        return forecast(request(Path(folder), kind, model_type, method, target))


def rows(chosen: Sequence[tuple[str, str]], workers: int) -> Iterator[Row]:
    """Yield what comes of each pair and method."""
    preload()
    asked = [(kind, name, method) for kind, name in chosen for method in METHODS]
    for number, answer in run_forked([(ask, each) for each in asked], workers):
        kind, name, method = asked[number]
        wide = name in WIDE[kind].split()
        if isinstance(answer, Exception):
            reason = str(answer).replace("\n", " ").removeprefix("UserError: ")
            yield Row(kind, name, method, wide, 0, 0, 0.0, reason)
        else:
            total = answer.parameters["total"]
            yield Row(kind, name, method, wide, total, answer.peak_allocated, answer.seconds, "")


def main() -> None:
    """Write the table; say how many went through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="model types; none: those in wide use")
    parser.add_argument("--all", action="store_true", help="every model type of transformers")
    parser.add_argument("--out", type=Path, default=Path("reports/architectures"))
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    chosen, found = list(pairs(arguments.types, arguments.all)), []
    for row in rows(chosen, arguments.workers):
        found.append(row)
        said = row.reason or f"{row.peak_allocated / 2**30:.1f} GiB, {row.seconds:.1f} s"
        print(f"{row.kind} {row.model_type} {row.method}: {said}", flush=True)
    found.sort()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "architectures.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Row._fields, *found])
    (arguments.out / "README.md").write_text(page(found))


def page(found: Sequence[Row]) -> str:
    """Return the counts by kind, and every pair that did not go through with its reason."""
    import transformers

    lines = [
        "# Architectures",
        "",
        f"The config of the class's defaults of transformers {transformers.__version__}, "
        f"{EXAMPLES} examples of {LENGTH} tokens or {EXAMPLES} images, fp32, AdamW, forecast for "
        "an A100 of 80 GB: `python benchmarks/architectures.py`.",
        "",
        "| kind of task | " + " | ".join(METHODS) + " |",
        "| --- |" + " ---: |" * len(METHODS),
    ]
    for kind in [*KINDS, "all"]:
        cells = [_count(found, kind, method) for method in METHODS]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    lines += ["", "| kind of task | model type | method | not through, because |",
              "| --- | --- | --- | --- |"]  # fmt: skip
    lines += [
        f"| {row.kind} | {row.model_type} | {row.method} | {row.reason.replace('|', '/')} |"
        for row in found
        if row.reason
    ]
    return "\n".join(lines) + "\n"


def _count(found: Sequence[Row], kind: str, method: str) -> str:
    own = [row for row in found if row.method == method and kind in (row.kind, "all")]
    return f"{sum(not row.reason for row in own)} of {len(own)}"


if __name__ == "__main__":
    main()
