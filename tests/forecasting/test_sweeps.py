"""Memory at other batch sizes and lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.errors import UserError
from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.sweeps import Sweep, add_sweeps, sweeps_of
from harness.forecasting.varied import with_length
from harness.reporting.swept import alike_cards, swept_csv, swept_notes, swept_tables

ONE = ("methods=[lora]", "seeds=[0]")
SAFE = (
    "methods=[{safe: {over: {lora: {r: 4}}, tau: {quantile: 0.51}}}]", "seeds=[0]",
    "train.epochs=20",
)  # fmt: skip


def test_what_is_swept_is_read() -> None:
    assert sweeps_of([]) == []
    assert sweeps_of(["batch=8, 1,32", "length=128"]) == [
        Sweep("batch", (1, 8, 32)), Sweep("length", (128,))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["batches=1"], r"--sweep batches=1: unknown 'batches'; did you mean 'batch'\?"),
        (
            ["batch"],
            r"--sweep batch: '' is no whole number above 0; expected such as batch=8,16,32",
        ),
        (["batch=1,0"], "'0' is no whole number above 0"),
        (["length=1.5"], "'1.5' is no whole number"),
        (["length=²"], "'²' is no whole number"),
        (["batch=8,4,8"], "a value is there twice"),
        (["batch=1", "batch=2"], "--sweep batch: given twice"),
    ],
)
def test_what_says_nothing_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        sweeps_of(texts)


def test_every_point_is_the_forecast_of_a_cell_set_so(tmp_path: Path) -> None:
    cell, card = cells(tmp_path, *ONE)[0], CARDS["rtx4090"]
    forecaster = Forecaster(tmp_path / "cache", 2)
    plain = forecast_cells(forecaster, [cell], [card])
    sweeps = sweeps_of(["batch=2,16", "length=32,130,131"])
    [entry] = add_sweeps(forecaster, [cell], [card], plain, sweeps)
    assert "sweeps" not in plain[0].model_dump(), "without a sweep nothing is written of it"
    assert entry.model_copy(update={"sweeps": {}}) == plain[0]
    found = entry.sweeps["batch"] + entry.sweeps["length"][:2]
    for at, (batch, length) in zip(found, [(2, 48), (16, 48), (8, 32), (8, 130)], strict=True):
        shape = f"{{family: classification, batch_size: {batch}, length: {length}}}"
        so = cells(tmp_path, *ONE, f"tasks=[{{shape: {shape}}}]")
        [alone] = forecast_cells(forecaster, so, [card])
        assert at.value in (batch, length)
        assert (at.device, at.margin, at.fits) == (alone.device, alone.margin, alone.fits)
        assert at.reserved == max(need.reserved for need in alone.needs.values())
        assert at.step == alone.step_time
        assert at.step is not None
    beyond = entry.sweeps["length"][-1]
    assert (beyond.value, beyond.reserved, beyond.fits) == (131, None, None)
    assert "130 positions" in (beyond.error or "")


def test_the_stage_that_needs_the_most_decides(tmp_path: Path) -> None:
    cell, cards = cells(tmp_path, *SAFE)[0], [CARDS["rtx4090"], CARDS["l4"]]
    forecaster = Forecaster(tmp_path / "cache", 2)
    entries = add_sweeps(
        forecaster, [cell], cards, forecast_cells(forecaster, [cell], cards), sweeps_of(["batch=8"])
    )
    first = entries[0]
    assert len(entries) > 2, "stages, on two cards"
    for entry in entries:
        [at] = entry.sweeps["batch"]
        assert at.stage == "warm-up"
        assert at.reserved == max(need.reserved for need in first.needs.values())
        assert at.margin == (entry.usable or 0) - (at.device or 0)
    assert alike_cards(entries) == [["rtx4090", "l4"]]
    table, *speeds = swept_tables(entries)
    assert table.headers == ["cell", "8", "rtx4090", "l4"]
    assert [speed.title.split()[:5] for speed in speeds] == [
        ["Tokens", "a", "second", "on", gpu] for gpu in ("rtx4090", "l4")
    ]
    assert [row[2:] for row in table.texts] == [["8", "8"]]
    assert len(swept_csv(entries).splitlines()) == 1 + 2, "once per cell and card, not per stage"


def test_images_have_no_length(tmp_path: Path) -> None:
    [cell] = cells(
        tmp_path, *ONE, "model={config: tiny-vit}",
        "tasks=[{shape: {family: image, batch_size: 8}}]",
    )  # fmt: skip
    with pytest.raises(UserError, match=r"length: .*tiny-vit.* has images"):
        with_length(cell, 32)
    swept = sweeps_of(["length=32"])
    with pytest.raises(UserError, match=r"--sweep length: .*tiny-vit.* has images"):
        add_sweeps(Forecaster(None, 1), [cell], [CARDS["l4"]], [], swept)


def test_what_has_no_forecast_is_told_once_for_all_cells(tmp_path: Path) -> None:
    own, card = cells(tmp_path), CARDS["rtx4090"]
    forecaster = Forecaster(tmp_path / "cache", 2)
    entries = add_sweeps(
        forecaster, own, [card], forecast_cells(forecaster, own, [card]), sweeps_of(["length=500"])
    )
    errors = [note for note in swept_notes(entries) if note.startswith("error: ")]
    assert len(errors) == 1
    assert "and 3 more with length 500: tiny-bert has 130 positions" in errors[0]
