"""What ends a search and what does not, with forecasts that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.fitting import search as searching
from harness.fitting.answer import Answer, answer
from harness.fitting.asking import Typed, wanted_of
from harness.fitting.candidates import Candidate, candidates_of, cells_of
from harness.fitting.facts import facts_of
from harness.fitting.found import Found
from harness.fitting.plans import OfKind
from harness.fitting.search import search
from harness.fitting.wanted import Wanted
from harness.forecasting.cards import Card
from harness.forecasting.estimates import Estimate
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.models.spec import ModelSpec
from harness.reporting.fit import fit_tables
from harness.reporting.fit_notes import first_words, fit_notes
from harness.suite.cell import Cell
from harness.units import GIB


def made_up(monkeypatch: pytest.MonkeyPatch, errors: dict[str, str]) -> None:
    """Every forecast fits, but for cells whose label has a word of `errors`."""

    def forecasts(_: Forecaster, cells: Sequence[Cell], cards: Sequence[Card]) -> list[Forecast]:
        found = []
        for cell in cells:
            error = next((e for word, e in errors.items() if word in cell.method_label), None)
            found.append(Forecast(
                cell=cell.path, method=cell.method, model="m", task="t", gpu=cards[0].name,
                stage="training", steps=[(1, 8)], error=error, device=cards[0].context + 100,
                margin=100, fits="fits",
            ))  # fmt: skip
        return found

    def estimates(_: Forecaster, cells: Sequence[Cell], card: Card) -> list[Estimate]:
        return [Estimate(allocated=100, reserved=100, seconds=1.0) for _ in cells]

    monkeypatch.setattr(searching, "forecast_cells", forecasts)
    monkeypatch.setattr(searching, "kept_estimates", estimates)


def searched(wanted: Wanted) -> dict[str, OfKind]:
    found = search(Forecaster(None, workers=1), wanted, lambda one: None)
    return {each.kind.title: each for each in found}


@pytest.mark.parametrize("gpu", ["t4", "custom:24:3.5"])
def test_a_card_without_bf16_has_an_answer_for_every_kind(
    gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch, {})
    found = searched(wanted_of(Typed("tiny-llama", gpu, 8, batch=4)))
    assert list(found) == ["lora fp16", "lora nf4", "full fp32"]
    assert all(each.rows and not each.error for each in found.values())


def test_a_candidate_that_cannot_be_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, {})
    asked = searching.cells_or_refusals

    def refusing(wanted: Wanted, candidates: Sequence[Candidate]) -> list[Cell | UserError]:
        return [
            UserError("no") if "checkpointing" in one.words else cell
            for one, cell in zip(candidates, asked(wanted, candidates), strict=True)
        ]

    monkeypatch.setattr(searching, "cells_or_refusals", refusing)
    [lora] = searched(wanted_of(Typed("tiny-llama", "t4", 8, methods="qlora"))).values()
    assert lora.rows
    assert all("checkpointing" not in row.candidate.words for row in lora.rows)


def test_a_kind_that_cannot_be_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(monkeypatch, {"full": "not this one"})
    said = ["train.optimizer=adamw-8bit", "train.clip=null", "train.optimizer_in_backward=true"]
    wanted = wanted_of(Typed("tiny-llama", "t4", 8, methods="lora,full", overrides=said))
    found = searched(wanted)
    assert found["lora fp16"].rows
    assert "full fp32" in found
    assert "autocast to fp16 has a scaler" in found["full fp32"].error
    only = replace(wanted, kinds=wanted.kinds[-1:])
    with pytest.raises(UserError, match="bf16 and fp32 have none"):
        searched(only)


def test_what_fails_for_every_kind_alike_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "bert has 512 positions; train.max_length=512 cuts them"
    made_up(monkeypatch, {"lora": said, "full": said})
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8))
    with pytest.raises(UserError, match="bert has 512 positions; --length 512 cuts them"):
        searched(wanted)


def test_a_task_without_a_head_is_refused_before_any_forecast() -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, task="image"))
    with pytest.raises(UserError, match=r"--task image: tiny-llama has no image head.*causal_lm"):
        answer(Forecaster(None, progress=lambda done, total: pytest.fail("forecast")), wanted)


def test_what_is_known_of_a_model_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(config="tiny-llama")
    known = facts_of(spec, tmp_path)
    assert known.positions == 130
    assert "causal_lm" in known.families
    monkeypatch.setattr("harness.fitting.facts._read", lambda spec: pytest.fail("read anew"))
    assert facts_of(spec, tmp_path) == known


@pytest.mark.parametrize("plain", [True, False])
def test_where_nothing_fits_a_table_says_by_how_much(plain: bool) -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, length=1000, methods="qlora"))
    [kind] = wanted.kinds
    first, *_, last = candidates_of(kind, wanted)
    cells = cells_of(wanted, [first, last])
    over = [
        Found(one, cell, (entry,), entry, "does not fit")
        for one, cell in zip([first, last], cells, strict=True)
        for entry in [Forecast(
            cell="c", method="m", model="m", task="t", gpu="g", stage="training", steps=[(1, 8)],
            device=30 * GIB, margin=-84391 * GIB, fits="does not fit",
        )]
    ]  # fmt: skip
    of = OfKind(kind, over[0] if plain else None, leanest=over[1], error="" if plain else "no")
    assert of.short == over[not plain]
    found = Answer(wanted, [], [of], positions=130)
    [table] = fit_tables(found, wide=True)
    assert table.title.startswith("Nothing fits: tiny-llama on rtx4090, 1 x 1,000 tokens a step")
    assert "-84,391.0" in table.texts[0]
    assert "GiB left" not in first_words(over[0])
    assert "84,391.0 GiB over" in first_words(over[0])
    said = " ".join(fit_notes(found))
    assert "1,000 tokens are 7.69 times what tiny-llama was made for (130)" in said
    for absent in ("batch:", "uncertain", "tight", "Loading", "8-bit", "Error bars", "  "):
        assert absent not in said
