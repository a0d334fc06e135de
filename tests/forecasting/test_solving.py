"""The largest value of one setting is that of a search through all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.errors import UserError
from harness.fitting.solve import Farther, refuse_unknown
from harness.forecasting import solving
from harness.forecasting.cards import CARDS, Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.estimates import estimates
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.frontier import frontier
from harness.forecasting.law import law_of, laws_of
from harness.forecasting.settings import setting_of
from harness.forecasting.solving import solve
from harness.models.config import build_config
from harness.models.spec import ModelSpec
from harness.reporting.farther import farther_data, farther_tables
from harness.suite.cell import Cell
from harness.units import MIB

ONE = ("methods=[{lora: {r: 4}}]", "seeds=[0]")


def cell_of(tmp_path: Path, batch: int, length: int) -> Cell:
    """Return a cell of a tiny Llama with two layers and 640 positions."""
    config = build_config(ModelSpec(config="tiny-llama"))
    config.num_hidden_layers, config.max_position_embeddings = 2, 640
    config.save_pretrained(tmp_path / "model")
    shape = f"{{family: causal_lm, batch_size: {batch}, length: {length}, evaluation: false}}"
    given = (f"model={{path: {tmp_path / 'model'}}}", f"tasks=[{{shape: {shape}}}]")
    [cell] = cells(tmp_path, *ONE, *given)
    return cell


@pytest.mark.parametrize(
    ("what", "batch", "length", "mib", "values"),
    [
        ("batch", 2, 128, 90, range(1, 17)),
        ("length", 8, 64, 150, range(32, 641, 32)),
        ("rank", 64, 64, 163, range(1, 21)),
    ],
)
def test_it_is_the_largest_of_all(
    tmp_path: Path, what: str, batch: int, length: int, mib: int, values: range
) -> None:
    cell, card = cell_of(tmp_path, batch, length), Card("small", mib * MIB, (8, 6), 20 * MIB)
    forecaster = Forecaster(None, 2)
    found = solve(forecaster, cell, card, what)
    varied = [setting_of(cell, what).at(value) for value in values]
    entries = dict(zip(values, forecast_cells(forecaster, varied, [card]), strict=True))
    fits = [value for value, entry in entries.items() if entry.fits == "fits"]
    tight = [value for value, entry in entries.items() if entry.fits in ("fits", "tight")]
    assert values[0] <= max(fits) < values[-1], "the card ends it"
    assert found.fits
    assert found.tight
    assert found.fits.value == max(fits)
    assert found.fits.margin == entries[max(fits)].margin
    assert found.tight.value == max(tight) or found.tight.value > values[-1] == max(tight)
    values_found = {found.fits.value, found.tight.value}
    assert found.forecasts == len(values_found), "the law was right, to the byte"
    # The last rank that is tight is as wide as the model.
    assert bool(found.ends) == (what == "rank")


def test_where_a_law_errs_forecasts_do_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, card = cell_of(tmp_path, 2, 128), Card("small", 90 * MIB, (8, 6), 20 * MIB)
    forecaster = Forecaster(tmp_path / "cache", 2)
    right = solve(forecaster, cell, card, "batch")

    def wrong(*asked: object) -> object:
        law = law_of(*asked)  # type: ignore[arg-type]
        assert law is not None
        law.points = [(3, 4)]  # as if the logs were of larger batches
        return law

    monkeypatch.setattr(solving, "law_of", wrong)
    found = solve(forecaster, cell, card, "batch")
    assert (found.fits, found.tight) == (right.fits, right.tight)
    assert found.forecasts > right.forecasts


def test_estimates_are_forecasts_of_what_has_twins_and_of_what_has_none(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, 2, 64)
    config = build_config(cell.model)
    config.num_hidden_layers = 7
    config.save_pretrained(tmp_path / "model")
    upper = cell.model_copy(update={"method_options": {"r": 4, "layers": "upper-half"}})
    wrong = cell.model_copy(update={"method": "bitfit", "method_options": {}})
    forecaster, card = Forecaster(None, 2), CARDS["rtx4090"]
    found = estimates(forecaster, [cell, upper, wrong], card)
    for each, own in zip((cell, upper), found[:2], strict=True):
        [entry] = forecast_cells(forecaster, [each], [card])
        assert own.error is None
        assert own.allocated == entry.peak_allocated
        assert own.reserved == entry.peak_reserved
        assert own.seconds is not None
        assert entry.times is not None
        seconds = max(step.seconds for step in entry.times.steps)
        assert own.seconds == pytest.approx(seconds, rel=0.1)
    assert "have none" in (found[2].error or "")


def test_an_estimate_is_timed_as_its_forecast_is_with_tf32(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, 4096, 128)
    cell = cell.model_copy(update={"method_options": {"r": 4, "layers": "upper-half"}})
    train = cell.train.model_copy(update={"precision": "tf32"})
    with_tf32 = cell.model_copy(update={"train": train})
    forecaster, card = Forecaster(None, 2), CARDS["a6000"]
    [plain, own] = estimates(forecaster, [cell, with_tf32], card)
    [entry] = forecast_cells(forecaster, [with_tf32], [card])
    assert entry.times is not None
    assert own.seconds == pytest.approx(max(step.seconds for step in entry.times.steps), rel=1e-6)
    assert (own.seconds or 0) < (plain.seconds or 0), "tensor cores are faster"


def test_two_settings_have_one_law(tmp_path: Path) -> None:
    cell, card = cell_of(tmp_path, 2, 64), CARDS["rtx4090"]
    axes = {"batch": (2, 3), "length": (64, 128, 192)}
    [law] = laws_of(Forecaster(None, 2), [(cell, axes)], card)  # type: ignore[list-item]
    assert law is not None
    [entry] = forecast_cells(Forecaster(None, 2), [cell_of(tmp_path, 5, 256)], [card])
    at = law.at(5, 256)
    assert (at.allocated, at.reserved) == (entry.peak_allocated, entry.peak_reserved)
    limit = at.reserved or 0
    assert law.largest(limit, 100, 1, 256) >= 5
    assert law.holds(limit, law.largest(limit, 100, 1, 256), 256)


def test_what_no_cell_has_is_refused(tmp_path: Path) -> None:
    cell, card = cell_of(tmp_path, 2, 64), CARDS["rtx4090"]
    with pytest.raises(UserError, match="unknown 'batches'; did you mean 'batch'"):
        solve(Forecaster(None, 1), cell, card, "batches")
    full = cell.model_copy(update={"method": "full", "method_options": {}})
    for what, said in (("rank", "full has no rank"), ("layers", "full has no option layers")):
        with pytest.raises(UserError, match=said):
            setting_of(full, what)
    assert setting_of(cell, "layers").at(1).method_options["layers"] == (1, 2)


def test_a_frontier_is_the_largest_batch_at_every_length(tmp_path: Path) -> None:
    cell, card = cell_of(tmp_path, 2, 64), Card("small", 90 * MIB, (8, 6), 20 * MIB)
    forecaster = Forecaster(tmp_path / "cache", 2)
    points = frontier(forecaster, cell, card)
    assert [point.length for point in points] == [128, 256, 512]
    for point in points[:2]:
        alone = solve(forecaster, setting_of(cell, "length").at(point.length), card, "batch")
        assert (point.fits, point.tight) == (alone.fits, alone.tight)
    found = Farther(frontier=tuple(points))
    [table] = farther_tables(found, 1)
    assert [row[0] for row in table.texts] == ["128", "256", "512"]
    assert farther_data(found)["frontier"][0]["fits"]["value"] == int(table.texts[0][1])


def test_what_cannot_be_sought_is_refused() -> None:
    with pytest.raises(UserError, match="--solve ranks: unknown 'ranks'; did you mean 'rank'"):
        refuse_unknown("ranks", None)
    with pytest.raises(UserError, match="--frontier batch,rank: expected batch,length"):
        refuse_unknown(None, "batch,rank")
    refuse_unknown("rank", "length, batch")
