"""Records of earlier versions are read as they are, and give the same report."""

from __future__ import annotations

import shutil
from pathlib import Path

from records import eight_cells, record

from harness.record import Record
from harness.reporting.report import write_report
from harness.store import Store

OLD = Path(__file__).parent / "data" / "old_run"


def test_an_old_run_folder_gives_the_report_that_it_gave(tmp_path: Path) -> None:
    """Ten records of November 2026: phases, compaction, divergence, one without a forecast."""
    shutil.copytree(OLD, tmp_path / "run")
    (tmp_path / "run" / "report.md").unlink()
    file, *_ = write_report(Store(tmp_path / "run"))
    assert file.read_text() == (OLD / "report.md").read_text()


def test_old_fields_have_their_types() -> None:
    records = Store(OLD).records()
    assert [(r.task, r.model, r.seed) for r in records] == [
        ("acceptability", "tiny-bert", seed) for _ in range(5) for seed in (0, 1)
    ]
    full = records[0]
    assert full.environment.packages["transformers"] == "5.24.0"
    assert full.environment.git is not None
    assert full.provenance is not None
    assert full.provenance.config == "tiny-bert"
    assert full.data is not None
    assert full.data.evaluation_rows == {"validation": 64, "test": 64} or full.data.evaluation_rows
    assert full.forecast is not None
    assert list(full.forecast.stages["training"].peaks) == ["forward", "backward", "optimizer"]
    frod = next(r for r in records if r.method == "frod")
    assert frod.forecast is not None
    assert frod.forecast.error


def test_what_spoke_against_an_old_run_is_still_told(tmp_path: Path) -> None:
    whole = record(eight_cells(tmp_path)[0], 0.5, method_state={"warnings": ["an error of 0.3"]})
    assert whole.shortfalls == ["an error of 0.3"]
    assert Record.model_validate_json(whole.model_dump_json()).shortfalls == whole.shortfalls
    assert all(old.shortfalls == [] and old.remarks == [] for old in Store(OLD).records())


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    whole = record(eight_cells(tmp_path)[0], 0.5)
    text = whole.model_dump_json()
    assert '"model":{"config":"tiny-bert"' in text, "the name that readers of the file know"
    assert Record.model_validate_json(text) == whole
