"""Records and pages for tests of the HTML page."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from records import eight_cells, record

from harness.forecasting.result import Forecast
from harness.record import Memory, PhaseMemory, Record
from harness.reporting.groups import Group
from harness.simulation.step_forecast import Need
from harness.units import MIB

HOLDERS = 12
# Where a browser finds the methods' names, and how it moves the slider.
NAMES = ".methods-box tbody .name"
SLIDER = """const slider = document.querySelector("input[type=range]");
slider.value = arguments[0]; slider.dispatchEvent(new Event("input"));"""
# Methods with their peaks in MiB, and their scores.
SIZES = {"full": 300, "lora-r8": 200, "bitfit": 100, "lora-r16": 250}
SCORES = [0.9, 0.8, 0.7, 0.85]
# What would be markup, a script's end, another direction or a command, were it not text.
HOSTILE = [
    "<img src=x onerror=document.title='hit'>", "</script><script>document.title='hit'</script>",
    "<!--<script>", "'\"><svg onload=document.title='hit'>", "a|b", "two\nlines", "\x1b[31mred",
    "\u202eabc", "\ud800", "$x_1$ \\textbf{x} & 100%", "[a](javascript:x)", "%%SCRIPT%%",
    "__proto__", "toString", "&lt;b&gt;", "`code`",
]  # fmt: skip


def phase(first: int, steps: int, peak: int, holder: str = "encoder.layer") -> PhaseMemory:
    """A phase whose split and holders make up its peak."""
    split = {"weights.base": peak // 4, "optimizer": peak // 4}
    split["activations"] = peak - sum(split.values())
    holders = [
        {"category": "activations", "op": "aten::addmm", "path": f"{holder}.{i}.output",
         "num_bytes": peak // 40 - i, "num_blocks": i + 1}
        for i in range(HOLDERS)
    ]  # fmt: skip
    return PhaseMemory(
        first_step=first, steps=steps, trainable=10**6, peak_allocated=peak, split=split,
        peaks={"forward": peak - 5, "backward": peak, "optimizer": peak // 2},
        saved_activations=peak // 3, at_rest=peak // 5, shallowest_live_layer=0, holders=holders,
    )  # fmt: skip


def memory(*peaks: int) -> Memory:
    """Memory of phases with these peaks, 10 steps each."""
    phases = [phase(10 * i, 10, peak) for i, peak in enumerate(peaks)]
    return Memory(
        meter="cpu-ledger", phases=phases, peak_training=max(peaks), peak_last_phase=peaks[-1],
        peak_step_mean=sum(peaks) / len(peaks), peak_evaluation=max(peaks) // 2,
    )  # fmt: skip


def renamed(one: Record, path: str, **rest: Any) -> Record:
    """The record under another path, with other fields."""
    return one.model_copy(
        update={"path": path, "key": f"{zlib.crc32(path.encode(errors='replace')):016x}", **rest}
    )


def sized(folder: Path, sizes: dict[str, int], scores: Sequence[float]) -> list[Record]:
    """One run of each method, with its peak in MiB and its score."""
    one = record(eight_cells(folder)[0], 0.5)
    return [
        renamed(one, f"rte/tiny/{name}/s0", memory=memory(size * MIB), main_score=score,
                averaged_score=score, reported={"accuracy": score},
                scores={"dev": {"accuracy": score}})
        for (name, size), score in zip(sizes.items(), scores, strict=True)
    ]  # fmt: skip


def hostile(folder: Path) -> list[Record]:
    """A run for each hostile text, which is its method's name and all that it says; half failed."""
    one = record(eight_cells(folder)[0], 0.5, memory=memory(2**21, 2**20))
    return [
        renamed(
            one, f"rte/tiny/{text.replace('/', '∕')}/s0", outcome="crashed" if i % 2 else "ok",
            message=text if i % 2 else None, log_tail=text if i % 2 else None, remarks=[text],
            invocation=one.invocation and one.invocation.model_copy(update={"command": text}),
        )
        for i, text in enumerate(HOSTILE)
    ]  # fmt: skip


def many(folder: Path, methods: int, tasks: int, seeds: int) -> list[Record]:
    """Records of all pairs, with three phases each, histories and settings of real size."""
    chance = random.Random(0)
    one = record(eight_cells(folder)[0], 0.5)
    history = [{"epoch": e, "steps": e, "loss": 1 / (e + 3), "dev": {"accuracy": 0.5}}
               for e in range(20)]  # fmt: skip
    made = []
    for method in range(methods):
        size = chance.uniform(4, 20) * 2**30
        for task in range(tasks):
            for seed in range(seeds):
                peaks = [int(size * chance.uniform(0.99, 1.01) * part) for part in (1, 0.8, 0.6)]
                value = chance.uniform(0.6, 0.9)
                made.append(
                    renamed(one, f"task{task}/roberta/lora-r{method}/s{seed}",
                            memory=memory(*peaks), main_score=value, averaged_score=value,
                            reported={"accuracy": value}, scores={"dev": {"accuracy": value}},
                            history=history, epochs=20.0)
                )  # fmt: skip
    return made


def group(records: Sequence[Record], name: str = "made up", **suite: Any) -> Group:
    """The records as a group."""
    return Group(name, {"name": name, "description": "Nobody ran this.", **suite}, records)


def data_of(html: str) -> dict[str, Any]:
    """Return what a page's script reads."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


class Document(HTMLParser):
    """Elements with their attributes, and the text of each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        last = self.tags[-1][0] if self.tags else ""
        self.raw[last].append(data) if last in self.raw and data.strip() else None
        self.texts.append(data)

    @property
    def policy(self) -> str:
        return next(a["content"] or "" for _, a in self.tags if "http-equiv" in a)


def forecast(gpu: str, **rest: Any) -> Forecast:
    """A forecast of one cell; `rest` replaces fields."""
    filled: dict[str, Any] = {
        "cell": "rte/tiny/lora/s0", "method": "lora", "model": "tiny", "task": "rte", "gpu": gpu,
        "stage": "training", "steps": [(8, 128)], "peak_allocated": 100 * MIB,
        "needs": {"training": Need(allocated=100 * MIB, reserved=120 * MIB, expandable=1),
                  "evaluation": Need(allocated=1, reserved=130 * MIB, expandable=1)},
        "split": {"weights.base": 60 * MIB, "unsplit": MIB}, "modules": {"encoder": 60 * MIB},
        "fits": "fits", "margin": MIB, "decides": "training",
    }  # fmt: skip
    return Forecast.model_validate(filled | rest)
