"""What is kept of a calibration, and which forecasts it acts on."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import SUITE, cells
from processors import calibration, processor
from typer.testing import CliRunner

from harness.budgets.figures import figures_of
from harness.forecasting import calibrated
from harness.forecasting.cards import Card, find_card, target_of
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.named import card_named
from harness.main import app
from harness.reporting.devices import memory_note
from harness.reporting.forecasts import forecast_table
from harness.simulation.target import CPU
from harness.timing.clock import Machine
from harness.units import GIB


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def machine_of(name: str) -> Machine:
    clock = find_card(name).clock
    assert clock is not None
    return clock.machine


def test_nothing_kept_is_the_reference_machine_and_no_time_on_the_cpu() -> None:
    assert machine_of("l40s") == Machine()
    assert find_card("cpu:1").clock is None
    assert "headroom calibrate" in "; ".join(find_card("cpu:1").assumptions)
    assert find_card("rtx4090").assumptions == []


def test_the_host_is_of_all_cards_and_the_devices_shares_of_the_one_that_was_measured() -> None:
    calibrated.keep(calibration())
    mine, other = machine_of("l40s"), machine_of("rtx4090")
    assert mine.host == other.host == 9e-6
    assert (mine.bandwidth, mine.products, mine.products_fp32) == (0.85, 0.7, 0.5)
    assert (other.bandwidth, other.products) == (Machine().bandwidth, Machine().products)
    assert other.calibrated == ("host",)
    assert set(mine.calibrated) == {"host", "bandwidth", "products", "products_fp32"}
    assert "9.0 µs of the host" in find_card("rtx4090").assumptions[0]
    assert (
        "what l40s reaches of its datasheet, measured on this machine"
        in find_card("l40s").assumptions[0]
    )


def test_a_card_as_sold_is_in_the_reference_machine_whatever_was_measured() -> None:
    before = find_card("l40s").clock
    calibrated.keep(calibration())
    sold = find_card("l40s").as_sold()
    assert sold.clock == before
    assert sold.assumptions == []


def test_a_budget_is_of_the_reference_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    calibrated.keep(calibration())
    asked: list[Card] = []

    def forecast(_: object, __: object, cards: list[Card], **___: object) -> list[object]:
        asked.extend(cards)
        return []

    monkeypatch.setattr("harness.forecasting.cells.forecast_cells", forecast)
    figures_of(tmp_path / "suite.yaml", ["l40s"])
    (card,) = asked
    assert card.clock is not None
    assert card.clock.machine == Machine()


def test_a_host_that_was_reckoned_is_used_and_not_called_calibrated() -> None:
    calibrated.keep(calibration(host={"seconds": 12e-6, "measured": False}, devices={}))
    assert machine_of("a6000").host == 12e-6
    assert machine_of("a6000").calibrated == ()
    assert "not measured" in find_card("a6000").assumptions[0]


def test_the_cpu_is_timed_with_the_threads_that_were_measured() -> None:
    calibrated.keep(calibration(processors=[processor(2)]))
    assert find_card("cpu:2").clock is not None
    assert find_card("cpu:1").clock is None
    assert target_of(find_card("cpu:2")) == CPU


def test_what_cannot_be_believed_is_told_and_not_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = calibrated.keep(calibration())
    assert file is not None
    file.write_text(file.read_text().replace("9e-6", "-1").replace('"seconds"', '"second"'))
    assert calibrated.calibration() is None
    assert machine_of("l40s") == Machine()
    assert str(file) in capsys.readouterr().err


def test_machines_that_share_a_home_do_not_share_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated.keep(calibration())
    assert calibrated.calibration() is not None
    monkeypatch.undo()
    monkeypatch.setenv("HEADROOM_CACHE", str(folder))
    names = {calibrated.host_name()}
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert len(names | {calibrated.host_name()}) == 2
    assert calibrated.calibration() is None


def test_the_command_shows_and_forgets() -> None:
    run = CliRunner().invoke
    assert run(app, ["calibrate", "--show"]).exit_code == 1
    calibrated.keep(calibration())
    shown = run(app, ["calibrate", "--show"])
    assert shown.exit_code == 0
    assert "host: 9.0 µs an operator, measured on a GPU's steps" in shown.output
    assert "l40s (NVIDIA L40S): 0.85 of the bandwidth" in shown.output
    assert "cpu, 2 threads" in shown.output
    assert run(app, ["calibrate", "--show", "--forget"]).exit_code == 2
    assert run(app, ["calibrate", "--forget"]).exit_code == 0
    assert calibrated.calibration() is None


def test_cells_are_forecast_for_the_cpu(tmp_path: Path) -> None:
    calibrated.keep(calibration())
    chosen = cells(tmp_path, "seeds=[0]")
    found = forecast_cells(Forecaster(None, 1), chosen, [find_card("cpu:1"), find_card("cpu:3")])
    assert [entry.error for entry in found] == [None] * 4
    full, untimed, lora, _ = found
    assert full.step_time is not None
    assert lora.step_time is not None
    assert full.step_time.seconds == pytest.approx(full.step_time.host + full.step_time.device)
    assert lora.step_time.host > full.step_time.host  # more modules and operators
    assert untimed.step_time is None
    assert full.fits == "fits"
    assert full.device == full.peak_allocated > 0
    assert (full.peak_reserved, full.peak_expandable, full.fits_expandable) == (None, None, None)
    assert full.choices["capability"] == "none"
    table = forecast_table(found)
    reserved = table.headers.index("reserved")
    assert {texts[reserved] for texts in table.texts} == {"-"}
    note = memory_note(found)
    assert "CUDA" not in note
    assert "cpu:1, cpu:3: margin of this machine's memory over the peak" in note
    assert full.lacks == []


@pytest.mark.parametrize("text", ["cpu:0", "cpu:x", "cpu:1:2", "rtx4090:1"])
def test_a_cpu_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="unknown card"):
        find_card(text)


NAMES = {
    ("NVIDIA GeForce RTX 4090", 23.65): "rtx4090",
    ("NVIDIA GeForce RTX 4070 Ti SUPER", 15.57): "rtx4070ti-super",
    ("NVIDIA GeForce RTX 4060 Ti", 15.57): "rtx4060ti-16",
    ("NVIDIA GeForce RTX 4060 Ti", 7.6): None,
    ("NVIDIA RTX A6000", 47.5): "a6000",
    ("NVIDIA RTX 6000 Ada Generation", 47.5): None,
    ("NVIDIA L40S", 44.4): "l40s",
    ("NVIDIA L40", 44.4): None,
    ("NVIDIA H100 80GB HBM3", 79.1): "h100",
    ("NVIDIA H100 PCIe", 79.1): None,
    ("NVIDIA A100-SXM4-40GB", 39.39): "a100-40",
    ("NVIDIA A100 80GB PCIe", 79.15): "a100-80",
    ("Tesla V100-SXM2-32GB", 31.7): "v100-32",
    ("Tesla T4", 14.75): "t4",
    ("NVIDIA GH200 480GB", 94.5): "gh200-96",
    ("NVIDIA A10G", 22.0): None,
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.7): None,
    ("", 8.0): None,
}


@pytest.mark.parametrize(("gpu", "size"), NAMES)
def test_cards_are_known_by_what_their_driver_calls_them(gpu: str, size: float) -> None:
    card = card_named(gpu, int(size * GIB))
    assert (card and card.name) == NAMES[gpu, size]
