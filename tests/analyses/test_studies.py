"""Analyses in whole runs: beside training in every way, and no reason to lose one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cells import LORA, RESUMED, EndsAfter, cell_of, run, same, setup_of, silent

from harness.analyses.hessian import Hessian, _HessianStudy
from harness.cell import run_cell
from harness.record import Record
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted, Loop
from harness.training.studies import UNFINISHED

ASKED = (
    "analyses={cka: {points: 4, examples: 16}, "
    "hessian: {over: [trained, trainable], top: 2, examples: 8, iterations: 4}, "
    "landscape: {points: 3, examples: 8}}"
)
SAFE = (
    f"{{safe: {{over: {LORA}, tau: {{quantile: 0.6}}, max_warmup: 2, t_f: {{epochs: 3}}, "
    "probe: 16}}"
)


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        (LORA, []),
        (SAFE, []),
        (f"{{adapterdrop: {{over: {LORA}}}}}", []),
        ("{aflora: {r: 4}}", ["train.precision=bf16"]),
        (LORA, ["train.gradient_checkpointing=true", "train.checkpoint=best"]),
    ],
)
def test_a_run_that_is_looked_at_is_the_run_that_is_not(
    tmp_path: Path, method: str, overrides: list[str]
) -> None:
    plain = run(cell_of(tmp_path, method, *RESUMED, *overrides))
    loop = Loop(setup_of(cell_of(tmp_path, method, *RESUMED, *overrides, ASKED)))
    loop.run()
    same(loop.setup, plain)
    assert loop.studies.shortfalls() == []
    peaks = [[p.peak_allocated for p in s.meter.phases] for s in (loop.setup, plain)]
    assert peaks[0] == peaks[1], "nor is it in the peaks of training"
    trains = [
        {n for n, p in s.model.named_parameters() if p.requires_grad} for s in (loop.setup, plain)
    ]
    assert trains[0] == trains[1]


def record_of(folder: Path, method: str, *overrides: str) -> Record:
    return run_cell(cell_of(folder, method, *RESUMED, ASKED, *overrides), silent)


def test_a_record_tells_what_was_found(tmp_path: Path) -> None:
    record = record_of(tmp_path, SAFE)
    assert record.outcome == "ok", record.message
    assert list(record.analyses) == ["cka", "hessian", "landscape"]
    for result in record.analyses.values():
        assert result.error is None
        assert result.headline
        assert result.seconds > 0
    assert record.time is not None
    spent = sum(result.seconds for result in record.analyses.values())
    assert record.time.analyses == pytest.approx(spent, rel=0.1)
    assert record.time.training < record.time.total - record.time.analyses
    assert Record.model_validate_json(record.model_dump_json()) == record
    json.dumps(record.model_dump(mode="json"), allow_nan=False)
    over = record.analyses["hessian"].content["over"]
    assert over["trainable"]["parameters"] < over["trained"]["parameters"], "some are frozen"


def test_what_fails_is_told_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(_HessianStudy, "conclude", fail)
    record = record_of(tmp_path, LORA)
    assert (record.outcome, record.message) == ("ok", None)
    assert record.main_score is not None
    assert record.analyses["hessian"].error == "OutOfMemoryError: CUDA out of memory."
    assert record.analyses["landscape"].error is None
    assert record.shortfalls == ["analysis hessian: OutOfMemoryError: CUDA out of memory."]


def test_a_run_that_diverges_has_no_end_to_look_at(tmp_path: Path) -> None:
    record = record_of(tmp_path, LORA, "train.lr=1e38", "train.clip=null")
    assert record.outcome == "diverged"
    assert {result.error for result in record.analyses.values()} == {UNFINISHED}


def test_what_failed_before_an_interruption_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("none left")

    cell = cell_of(tmp_path, LORA, *RESUMED, ASKED)
    with monkeypatch.context() as broken:
        broken.setattr("harness.analyses.cka._CkaStudy.observe", fail)
        with pytest.raises(Interrupted):
            run(cell, EndsAfter(tmp_path / "checkpoint", 5))
    loop = Loop(setup_of(cell, Checkpoints(tmp_path / "checkpoint", every=1e9)))
    loop.run()
    assert loop.studies.results["cka"].error == "MemoryError: none left"
    assert loop.studies.results["hessian"].error is None


@pytest.mark.parametrize(
    "method",
    ["full", "bitfit", "houlsby", "sora", "adalora", "{loraprune: {r: 4, interval: 2}}",
     f"{{safe: {{over: {LORA}, tau: {{quantile: 0.6}}, max_warmup: 2, t_f: {{epochs: 3}}, "
     "probe: 16, merge: true, prefix: true, cache_prefix: true}}",
     "{peft: {type: IA3}}", "{peft: {type: PREFIX_TUNING, num_virtual_tokens: 4}}"],
)  # fmt: skip
def test_every_kind_of_method_can_be_looked_at(tmp_path: Path, method: str) -> None:
    record = record_of(tmp_path, method)
    assert record.outcome == "ok", record.message
    assert record.shortfalls == [s for s in record.shortfalls if not s.startswith("analysis")]
    for over in record.analyses["hessian"].content["over"].values():
        assert over["asymmetry"] < 1e-3
        assert over["eigenvalues"][0] > 0


def test_layers_that_rebuild_their_inputs_give_no_hessian_even_unasked(tmp_path: Path) -> None:
    """What a method does not declare, torch or the symmetry of the products tells."""
    asked = "analyses={cka: {points: 2, examples: 16}, landscape: {points: 3, examples: 8}}"
    setup = setup_of(cell_of(tmp_path, "meft", *RESUMED, asked))
    setup.analyses = {**setup.analyses, "hessian": Hessian(examples=8)}
    loop = Loop(setup)
    loop.run()
    assert loop.studies.results["hessian"].error is not None
    assert loop.studies.results["cka"].error is None
    assert loop.studies.results["landscape"].error is None
