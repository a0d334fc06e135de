"""What holds a peak, and what single changes would save."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asked import request
from bare import SUITE, cells

from harness.errors import UserError
from harness.forecast import app
from harness.forecasting.cards import CARDS
from harness.forecasting.changes import Change, changes_of
from harness.forecasting.explain import explain, need_of, seconds_of
from harness.forecasting.forecaster import Forecaster
from harness.reporting.explained import explanation_tables

# Of a cell with little to change.
FEW = ("methods=[bitfit]", "seeds=[0]", "train.precision=bf16-weights",
       "train.gradient_checkpointing=true", "train.optimizer=sgd", "train.batch_size=1",
       "tasks=[{shape: {family: classification, length: 48}}]")  # fmt: skip
EAGER = ("methods=[lora]", "seeds=[0]", "train.attention=eager")


def test_holds_and_remedies_of_a_cell(tmp_path: Path) -> None:
    cell = cells(tmp_path, *EAGER)[0]
    cards = [CARDS["rtx4090"], CARDS["t4"]]
    explanation = explain(Forecaster(tmp_path / "cache", 2), cell, cards)
    remedies = {remedy.changes[0].split(" (")[0]: remedy for remedy in explanation.remedies}
    assert set(remedies) <= {
        "gradient_checkpointing: true", "attention: sdpa", "precision: bf16",
        "precision: bf16-weights", "optimizer: sgd", "layers: upper-half",
        "half the batch, accumulate twice as often", "optimizer: adafactor",
        "optimizer: adamw-fused", "half the evaluation batch",
        "weights: nf4, double_quant: true",
    }  # fmt: skip
    peak = need_of(explanation.step)
    assert all(remedy.by_gpu["rtx4090"].fits == "fits" for remedy in explanation.remedies)
    seconds = [seconds_of(remedy.by_gpu["rtx4090"]) or 0.0 for remedy in explanation.remedies]
    assert seconds == sorted(seconds), "of what fits the fastest stands first"
    assert not explanation.enough, "it fits as it is"
    needs = [need_of(remedy.step) for remedy in explanation.remedies]
    assert all(need < peak for need in needs), "what saves nothing is no offer"
    assert "half the evaluation batch" in explanation.useless
    assert all(set(remedy.by_gpu) == {"rtx4090", "t4"} for remedy in explanation.remedies)
    together = [need_of(remedy.step) for remedy in explanation.together]
    assert together == sorted(together, reverse=True)
    assert together[-1] < min(needs)
    holds, singly, _ = explanation_tables(explanation)
    assert sum(hold.num_bytes for hold in holds.rows) == explanation.step.peak_allocated
    cards_too = [h for h in singly.headers if not h.startswith("time on")]
    assert cards_too == ["change", "peak", "saves", "rtx4090", "t4"]
    assert singly.headers[4] == "time on rtx4090"
    layers = {row[0]: row[1] for row in holds.texts}
    assert layers["bert.encoder.layer.*.attention.self"] == "transformers BertSelfAttention"
    assert not any(row[2] == "0.0 %" for row in singly.texts)


def test_the_temporaries_of_foreach_have_an_offer(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[full]", "seeds=[0]", "train.batch_size=1",
                 "tasks=[{shape: {family: classification, length: 8}}]")[0]  # fmt: skip
    explanation = explain(Forecaster(tmp_path / "cache", 2), cell, [CARDS["rtx4090"]])
    assert explanation.step.peak_mark == "optimizer"
    texts = [remedy.changes[0].split(" (")[0] for remedy in explanation.remedies]
    assert "optimizer: adamw-fused" in texts


def test_only_what_applies_is_offered(tmp_path: Path) -> None:
    cell = cells(tmp_path, *FEW, "train.outputs=kept")[0]
    explanation = explain(Forecaster(None, 2), cell, [CARDS["rtx4090"]])
    singly = {remedy.changes[0] for remedy in explanation.remedies}
    offered = {text.split(" (")[0] for text in (*singly, *explanation.useless)}
    early = "optimizer_in_backward: true, clip: null"
    assert offered == {"outputs: dropped", "layers: upper-half", "momentum: 0", early}


def test_options_that_explain_does_without_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shapes.yaml"
    file.write_text(SUITE)
    with pytest.raises(SystemExit):
        app([str(file), "--explain", "*/lora*/s0", "--max-batch"])
    assert "leave out --max-batch" in capsys.readouterr().err
    out = tmp_path / "why.json"
    with pytest.raises(SystemExit) as ended:
        app([str(file), *FEW, "--explain", "*/bitfit/s0", "--gpu", "l4,t4", "--json", str(out)])
    assert ended.value.code in (0, None)
    assert set(json.loads(out.read_text())["by_gpu"]) == {"l4", "t4"}


def test_a_cell_that_cannot_be_forecast_has_no_explanation(tmp_path: Path, unknown: str) -> None:
    cell = cells(tmp_path, f"methods=[{unknown}]", "seeds=[0]")[0]
    with pytest.raises(UserError, match=r"asks/s0: .*answers\.py"):
        explain(Forecaster(None, 1), cell, [CARDS["l4"]])


def test_what_is_offered_of_optimizers_goes_together_with_the_rest() -> None:
    def offered(method: str = "lora", **train: Any) -> dict[str, Change]:
        asked = request("tiny-bert", method, steps=((4, 16),), **train)
        return {change.text.split(" (")[0]: change for change in changes_of(asked)}

    early = "optimizer_in_backward: true, clip: null"
    plain = offered()
    assert {early, "optimizer: adamw-8bit", "optimizer: adamw-fused"} <= set(plain)
    half = "half the batch, accumulate twice as often"
    assert plain[early].what == plain[half].what, "gradients are not summed up then"
    edited = plain[early].edit(request("tiny-bert")).train
    assert (edited.optimizer_in_backward, edited.clip, edited.early()) == (True, None, [])
    assert half not in offered(optimizer_in_backward=True, clip=None)
    for unfit in ({"accumulate": 2}, {"precision": "fp16"}, {"method": "aflora"}):
        assert early not in offered(**unfit)
    assert "optimizer: adamw-paged-8bit" in offered(optimizer="adamw-8bit")
