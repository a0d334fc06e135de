"""The answer for a tiny model on a tiny card, against a forecast of everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.fitting.answer import Answer, answer, suite_of_row
from harness.fitting.asking import Typed, wanted_of
from harness.fitting.candidates import candidates_of, cells_of
from harness.fitting.found import Found, found_of
from harness.fitting.kinds import kinds_of
from harness.fitting.limits import _with
from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.reporting.fit import fit_tables
from harness.reporting.fit_notes import fit_data, fit_notes
from harness.reporting.layout import fits
from harness.suite.load import load_suite
from harness.units import MIB

# What is reserved comes in blocks of 2 and 20 MiB: plain LoRA of 512 tokens does not fit.
CARD = replace(CARDS["rtx4090"], usable=420 * MIB + 43 * MIB, context=420 * MIB)


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> Forecaster:
    return Forecaster(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def found(forecaster: Forecaster) -> Answer:
    pinned = ["train.attention=sdpa", "train.lr=0.5"]
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, length=512, overrides=pinned))
    kinds = kinds_of(["lora"], 8, CARD)[:1]
    told: list[Found] = []
    result = answer(forecaster, replace(wanted, card=CARD, kinds=kinds), told.append)
    assert told
    assert result.rows
    assert result.over
    return result


def test_nothing_that_fits_is_faster_than_the_first_row(
    found: Answer, forecaster: Forecaster
) -> None:
    wanted = found.wanted
    every = candidates_of(wanted.kinds[0], wanted)
    cells = cells_of(wanted, every)
    entries = forecast_cells(forecaster, cells, [CARD])
    known = [
        found_of(c, cell, (e,), CARD) for c, cell, e in zip(every, cells, entries, strict=True)
    ]
    all_of_them = [each for each in known if isinstance(each, Found)]
    assert len(all_of_them) == len(every)
    fitting = [each.seconds for each in all_of_them if each.verdict == "fits"]
    first = next(row for row in found.rows if row.found.verdict == "fits")
    assert first.found.candidate.passes == 1
    assert first.found.seconds == min(each for each in fitting if each is not None)
    [over] = found.over
    assert over.plain is not None
    singles = [each for each in all_of_them if each.candidate.differs_once(over.plain.candidate)]
    assert over.change is not None
    helping = [each.seconds for each in singles if each.holds]
    if helping:
        assert over.change.seconds == min(each for each in helping if each is not None)
    assert over.leanest is not None
    assert (over.leanest.worst.device or 0) <= min(each.worst.device or 0 for each in all_of_them)


def test_the_largest_batch_fits_and_one_more_does_not(
    found: Answer, forecaster: Forecaster
) -> None:
    assert any(row.batch.value for row in found.rows)
    for row in found.rows:
        value = row.batch.value
        assert (value > 0) == (row.found.verdict == "fits")
        cells = [_with(row.found.cell, "batch", n).model_copy(update={"axes": {"n": n}})
                 for n in (value, value + 1) if n]  # fmt: skip
        asked = zip(cells, forecast_cells(forecaster, cells, [CARD]), strict=True)
        verdicts = [found_of(row.found.candidate, cell, (e,), CARD) for cell, e in asked]
        fitting = [isinstance(v, Found) and v.verdict == "fits" for v in verdicts]
        assert fitting == ([True, False] if value else [False])


def test_the_suite_of_a_row_gives_its_figures(
    found: Answer, forecaster: Forecaster, tmp_path: Path
) -> None:
    for number, row in enumerate(found.rows):
        file = tmp_path / f"{number}.yaml"
        file.write_text(suite_of_row(row, found.wanted))
        [cell] = load_suite(file).cells()
        assert cell.key == row.found.cell.key  # the learning rate, too
        [entry] = forecast_cells(forecaster, [cell], [CARD])
        assert (entry.device, entry.step_time) == (row.found.worst.device, row.found.step)


def test_a_second_search_forecasts_nothing(found: Answer, forecaster: Forecaster) -> None:
    done: list[int] = []
    again = Forecaster(forecaster.cache.folder, progress=lambda finished, total: done.append(total))
    assert fit_data(answer(again, found.wanted)) == fit_data(found)
    assert done == []


def test_the_screen_fits_80_columns_and_says_what_it_means(found: Answer) -> None:
    for table in fit_tables(found, wide=False):
        assert fits(table, 76, wrap=True), table.headers
    for table in fit_tables(found, wide=True):
        assert fits(table, 116, wrap=True), table.headers
    said = " ".join(fit_notes(found))
    assert "19 of 20 measured runs" in said
    assert "host's memory" in said
