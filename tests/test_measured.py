"""Public measurements as data: each is said by settings or has a reason why not, none is lost."""

from __future__ import annotations

import csv
import json
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import median

import pytest
import torch
from measured.others import FITTING, LONGEST, STEADY, own_rows, peft_rows, safe_rows
from measured.page import Pair, page, points_csv
from measured.rows import AXES, HERE, Row, public_rows, words

CHOICES = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2"}
# Parameters as their model cards and papers count them; shared ones once.
PARAMETERS = {
    "PowerLM-3b": 3_510_819_072, "gpt_bigcode-santacoder": 1_124_886_528,
    "phi-1.5": 1_418_270_720, "deepseek-coder-1.3b": 1_346_471_936,
    # With a head of its own beside the embeddings, as litgpt has it.
    "gemma-2b-untied": 2_506_172_416 + 256_000 * 2048,
    "gemma-2-2b-untied": 2_614_341_888 + 256_000 * 2304,
    "llama-3.2-1b-untied": 1_235_814_400 + 128_256 * 2048,
    # Its card has no count: two vocabularies, 16 layers of 12 h^2 weights, 9 h biases, two norms.
    "stablelm-base-alpha-3b": 2 * 50_688 * 4096 + 16 * (12 * 4096**2 + 13 * 4096) + 2 * 4096,
}  # fmt: skip


def rows() -> list[Row]:
    return [*public_rows(), *peft_rows(), *safe_rows()]


def test_every_published_measurement_is_said_or_has_a_reason() -> None:
    found = rows()
    assert len(found) == 372 + 40 + 23
    for row in found:
        assert bool(row.cell) != bool(row.why), row
        assert row.measured > 0
        assert row.source
    assert sum(row.cell is not None for row in found) == 290 + 20 + 5
    reasons = Counter(row.why for row in found if row.why)
    assert reasons[words()["not"]["fms/a100_80gb#60/"]] == 18, "six runs of Mixtral"
    assert all("excerpt" not in why and why.strip() for why in reasons)


def test_words_are_words_of_the_measurements() -> None:
    with (HERE / "public.csv").open(newline="") as stream:
        given = list(csv.DictReader(stream))
    for axis in AXES:
        assert {*words()[axis]} <= {row[axis] for row in given}, axis
    for start in [*words()["not"], *words()["told"]]:
        assert any(row["id"].startswith(start) for row in given), start


def test_what_is_said_is_what_was_measured() -> None:
    cells = {(row.name, row.kind): row for row in rows() if row.cell}
    one = cells["fitcheck/t4-sweep-2026-09-15#37", "peak_allocated"]
    assert one.cell is not None
    assert (one.card, one.figure) == ("t4", "peak_allocated")
    shape, train = one.cell.task.shape, one.cell.train
    assert shape is not None
    assert (train.max_length, train.batch_size, shape.mask) == (512, 2, False)
    assert (train.precision, train.attention, train.clip) == ("fp16-weights", "eager", None)
    assert train.gradient_checkpointing
    assert train.outputs == "step", "outputs live through backward and die with their step"
    assert one.by == ()
    large = cells["SAFE/roberta-large/lora", "peak allocated, inferred"]
    assert large.measured == round(17.73 * 2**30)
    assert [r.name for r in cells.values() if r.fitted] == ["peft/lora/llama-3.2-3B-rank32"] * 2


def test_what_stands_in_for_a_kernel_a_card_or_another_code_is_told() -> None:
    for row in public_rows():
        if row.cell is None:
            continue
        pinned, flash = "EFFICIENT" in row.attention, row.attention == "flash_attention_2"
        if row.card.startswith("custom") or row.card in {"a10", "mi250x"}:
            assert row.by, row.name
        assert not pinned or row.by or row.cell.train.attention == "sdpa-efficient"
        assert flash == (row.cell.train.attention == "flash_attention_2")
        if row.name.startswith("litgpt"):
            assert any("litgpt's" in by for by in row.by), row.name


def test_what_was_fitted_on_peft_s_rows_is_what_the_suite_has() -> None:
    cells = {row.cell.task_label: row.cell for row in peft_rows() if row.cell}
    shape, train = cells["peak"].task.shape, cells["peak"].train
    assert shape is not None
    assert max(shape.lengths) == LONGEST
    assert shape.lengths.index(LONGEST) == train.empty_cache_steps, "the first of its bucket"
    assert cells["steady"].train.max_length == STEADY
    assert str(LONGEST) in FITTING
    assert str(STEADY) in FITTING


# Names of what a T4 ran; peak allocated and reserved in MiB (fitcheck-llm 0.3.1's sdist).
T4 = {"t4-sweep-2026-09-15#21": (1027.29, 1104), "t4-sweep-2026-09-15#29": (3518.08, 4226)}


@pytest.mark.parametrize("name", T4)
def test_eager_on_a_t4_is_what_a_t4_showed(name: str) -> None:
    """Allocated needs the softmax's own temporary; reserved the order of equal free chunks."""
    from harness.forecasting.cards import find_card
    from harness.forecasting.cells import forecast_cells
    from harness.forecasting.forecaster import Forecaster

    cell = next(row.cell for row in public_rows() if row.name == f"fitcheck/{name}")
    assert cell is not None
    (found,) = forecast_cells(Forecaster(None, 1), [cell], [find_card("t4")])
    allocated, reserved = T4[name]
    assert found.peak_allocated / 2**20 == pytest.approx(allocated, abs=0.05)
    assert found.peak_reserved == reserved * 2**20


def test_stages_of_the_project_s_own_card_are_stages_of_the_suite() -> None:
    from harness.suite.plan import stages_of

    for row in own_rows():
        assert row.cell is not None
        assert row.stage in [stage.name for stage in stages_of(row.cell)], row.name


@pytest.mark.parametrize("name", PARAMETERS)
def test_configs_are_of_models_of_that_size(name: str) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = json.loads((HERE / "models" / name / "config.json").read_text())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        model.tie_weights()
    assert (
        sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
        == (PARAMETERS[name])
    )


def made_up(name: str, why: str = "") -> Row:
    return Row(name, "a paper", "t4", "peak_allocated", 100, "peak_allocated", why=why)


def test_the_page_hides_nothing() -> None:
    forecast = {"fitcheck/a": 100, "fitcheck/b": 90, "SAFE/roberta-large/lora": 80, "h100/x": 99}
    pairs = [Pair(made_up(name), value, CHOICES) for name, value in forecast.items()]
    without = [made_up("fms/1", "QLoRA"), made_up("fms/2", "QLoRA")]
    text = page(pairs, without)
    assert "Of 5 figures" in text
    assert "today's settings say 3; why not the other 2" in text
    assert "2 of 4." in text, "b and roberta-large are far off"
    far = text[text.index("- Not explained:") :]
    assert "- fitcheck/b, fitcheck-llm, Tesla T4: peak allocated **-10.00 %**" in far
    assert "- SAFE/roberta-large/lora, SAFE's paper: peak allocated **-20.00 %**" in far
    assert "| QLoRA " in text
    line = next(line for line in text.splitlines() if line.startswith("| all of others"))
    sums = ["3", "10.00", "-20.00", "+0.00", "2"]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == sums
    table = list(csv.reader(points_csv(pairs, without).splitlines()))
    assert len(table) == 1 + 6
    assert [row[8] for row in table[-2:]] == ["QLoRA", "QLoRA"]


def test_the_committed_report_is_of_these_measurements() -> None:
    folder = Path("reports/measured")
    with (folder / "points.csv").open(newline="") as stream:
        kept = list(csv.DictReader(stream))
    names = Counter((row.name, row.kind, row.measured) for row in [*rows(), *own_rows()])
    assert Counter((r["run"], r["kind"], int(r["measured (B)"])) for r in kept) == names
    text = (folder / "README.md").read_text()
    said = sum(bool(row["forecast (B)"]) for row in kept if not row["run"].startswith("h100"))
    assert f"today's settings say {said};" in text


@cache
def quantised() -> set[str]:
    """The rows of public.csv whose bases are quantised."""
    return {row.name for row in public_rows() if row.cell and row.cell.train.dtypes.quantised}


def errors(start: str, word: str, *, base: str = "whole") -> list[float]:
    """Errors in % of the committed report, by how a run's name begins and a word of its kind.

    `base` is whole, quantised or any.
    """
    with Path("reports/measured/points.csv").open(newline="") as stream:
        return [
            100 * float(row["error (fraction)"])
            for row in csv.DictReader(stream)
            if row["run"].startswith(start) and word in row["kind"] and row["forecast (B)"]
            and (base == "any" or (base == "quantised") == (row["run"] in quantised()))
        ]  # fmt: skip


def test_what_the_documentation_says_of_accuracy_is_what_the_report_has() -> None:
    text = Path("docs/forecasting.md").read_text()
    own = errors("h100", "reserved")
    assert (
        f"reserved {min(own):.1f} to +{max(own):.1f} %, median {median(map(abs, own)):.1f}" in text
    )
    assert f"{min(errors('h100', 'allocated')):.2f} to +0.0005 %" in text
    assert max(errors("h100", "allocated")) < 0.0005
    t4, kept = errors("fitcheck", "allocated"), sorted(errors("fitcheck", "reserved"))
    assert max(map(abs, t4)) < 0.05, "allocated within 0.05 %"
    assert sum(abs(error) <= 0.001 for error in t4) == 11
    assert [f"{error:.2f}" for error in kept] == ["0.00"] * 11 + ["0.05"]
    four, its = (errors("fitcheck", kind, base="quantised") for kind in ("allocated", "reserved"))
    assert len(four) == len(its) == 27
    assert f"allocated {min(four):.1f} to +{max(four):.2f} %, median {middle(four):.2f} %" in text
    assert f"reserved {min(its):.0f} to +{max(its):.1f} %, median {middle(its):.1f} %" in text
    peft, rest = errors("peft", "peak reserved"), errors("peft", "allocated after")
    worst = max(map(abs, peft))
    assert f"median {median(map(abs, peft)):.2f} %, worst {worst:.1f} % (DoRA)" in text
    assert worst == -errors("peft/lora/llama-3.2-3B-rank32-dora", "peak reserved")[0]
    assert max(map(abs, rest)) < 0.1
    power = [errors(f"fms/a100_80gb_granite#{n}", "peak_allocated")[0] for n in (8, 10)]
    assert f"LoRA on PowerLM-3B {power[0]:.1f} and {power[1]:.1f} %" in text
    assert max(map(abs, errors("fms", "rest"))) < 0.05
    liger = [errors(f"fms/a100_80gb_liger#{n}", "peak_alloc", base="any")[-1] for n in (12, 13, 14)]
    assert max(map(abs, liger)) < 0.01, "LoRA on Llama-3-8B with Liger's loss"
    one, litgpt = errors("canifinetune", "allocated", base="any"), errors("litgpt", "allocated")
    assert f"an RTX 4080 {min(one):.1f} to +{max(one):.1f} %" in text
    assert f"an MI250 +{errors('optimum', 'peak_allocated')[0]:.1f} %" in text
    assert f"litgpt {min(litgpt):.1f} to +{max(litgpt):.1f} %" in text
    assert f"an A100 +{errors('fms/a100_80gb#2', 'peak_allocated')[0]:.0f} %" in text
    assert f"RoBERTa-large, {errors('SAFE/roberta-large', 'peak')[0]:.2f} %" in text


def middle(found: list[float]) -> float:
    return median(map(abs, found))


def test_what_was_tried_is_what_the_reasons_say() -> None:
    text = Path("reports/measured/README.md").read_text()
    lines = [line.split("|")[1:-1] for line in text.splitlines()]
    tried = {(row[0].strip(), row[1].strip()): float(row[-1]) for row in lines if len(row) == 6
             and ("16 bits" in row[1] or "backward" in row[1] or "shifted" in row[1])}  # fmt: skip
    own, alive = (error for (run, _), error in tried.items() if "santacoder" in run)
    why = next(k["why"] for k in words()["apart"] if k["name"] == "fms/a100_80gb#2")
    assert f"{-own:.1f} % under" in why
    assert f"{-alive:.1f} % under" in why
    power = [error for (run, _), error in tried.items() if "PowerLM-3b lora" in run]
    said = Path("docs/forecasting.md").read_text()
    assert f"its transformers {power[0]:.2f} and {power[1]:.2f} %" in said
    assert max(map(abs, power)) < 0.05, "LoRA comes within a twentieth of a percent"
