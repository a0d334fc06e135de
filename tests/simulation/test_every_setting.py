"""Every training setting moves a forecast as it moves a real step of the CPU, or is refused.

The fields come from the schema: a new one of a type that does not list its values fails here until
`VALUES` or `IN_A_RUN` says what is tried. Whatever the schema lists is also forecast for a GPU.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import asked
import pictures
import pytest
import speaking
from cells import cell_of as texts
from cells import silent
from real import real_run

from harness.cell import run_cell
from harness.metering.events import LedgerReport
from harness.record import Record
from harness.simulation.built import autocasts
from harness.simulation.fake import fake_run
from harness.simulation.request import INERT, Request
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU
from harness.suite.settings import TrainSettings
from harness.tasks.families import FAMILIES, get_family
from harness.tasks.generation import Generation
from harness.tasks.language.base import LanguageTask
from harness.tasks.language.cnn_dailymail import CnnDailymailTask

Settings = dict[str, Any]
SGD = {"optimizer": "sgd"}
BF16 = {"precision": "bf16"}
STEPPED = ("adamw-fused", "adamw-plain", "adamw-8bit", "lion-paged-8bit", "sgd", "adafactor",
           "muon")  # fmt: skip
# What is tried of a setting whose type does not list its values: pairs of settings, one laid over
# the other, of which a step is taken.
VALUES: dict[str, list[tuple[Settings, Settings]]] = {
    "accumulate": [({}, {"accumulate": 2})],
    "betas": [({}, {"betas": (0.0, 0.5)})],
    "eps": [({}, {"eps": 1e-3})],
    "momentum": [(SGD, {"momentum": 0.0}), (SGD, {"momentum": 0.5})],
    "lr": [({}, {"lr": 0.5})],
    "head_lr": [({}, {"head_lr": 0.5})],
    "weight_decay": [({}, {"weight_decay": 0.1}), (SGD, {"weight_decay": 0.1})],
    "warmup": [({}, {"warmup": 0.5})],
    "clip": [({}, {"clip": None}), ({}, {"clip": 1e-6})],
    "attention": [({}, {"attention": value}) for value in ("eager", "sdpa", "sdpa-math")],
    # The CPU has no cache to give back: test_emptied_cache.py.
    "empty_cache_steps": [({}, {"empty_cache_steps": 2})],
    "label_smoothing": [({}, {"label_smoothing": 0.1})],
    "weights": [({}, {"weights": kind}) for kind in ("bf16", "nf4")]
    + [(BF16, {"weights": "bf16"})],
    "compute": [({}, {"compute": "bf16"}), ({"weights": "bf16"}, {"compute": "bf16"})],
    "autocast": [
        ({"weights": "bf16"}, {"autocast": True}),
        (BF16, {"weights": "bf16", "autocast": False}),
    ],
    "adapters": [({"weights": kind}, {"adapters": "same"}) for kind in ("bf16", "fp16")],
    "gradient_checkpointing": [
        ({}, {"gradient_checkpointing": value}) for value in (True, "reentrant")
    ],
    # Of quantised bases, whose kinds, families and methods test_quantized.py has.
    "double_quant": [({"weights": "nf4"}, {"double_quant": True})],
    "unquantized": [({"weights": "nf4"}, {"unquantized": "compute"})],
    "loss": [({}, {"loss": value}) for value in ("chunked", "chunked-output")],
    "loss_chunks": [({"loss": "chunked"}, {"loss_chunks": 3})],
    "liger_kernels": [],  # of a GPU: test_liger.py
    "optimizer_in_backward": [({"clip": None}, {"optimizer_in_backward": True})],
    # Those of torchao, which not every machine has: test_library_optimizers.py.
    "optimizer": [({}, {"optimizer": name}) for name in STEPPED],
    "embedding_states": [({"optimizer": "adamw-8bit"}, {"embedding_states": "same"})],
    "state_block": [],
    "devices": [],  # of several processes: test_parallel.py
    # Packed rows are of language alone: test_packing.py.
    "padding": [({}, {"padding": value}) for value in ("longest", "max")],
}
# These say which batches a run takes: the data, what is said of it, and whether bytes move.
IN_A_RUN: dict[str, tuple[str, str, bool]] = {
    "batch_size": ("texts", "4", True),
    "eval_batch_size": ("texts", "3", True),
    "max_length": ("texts", "6", True),
    "padding": ("texts", "max", True),
    "length_grouping": ("texts", "true", False),
    "epochs": ("texts", "1", False),
    "max_steps": ("texts", "3", False),
    "evaluate": ("texts", "epoch", False),
    "checkpoint": ("texts", "best", False),
    "max_target_length": ("cnn_dailymail", "6", True),
    "train_on_prompt": ("instructions", "false", False),
    "augmentation": ("pictures", "none", False),
}
MASKS = "with checkpointing a forecast holds both masks of BART's decoder, and a real step one"
MODELS = {
    "classification": "tiny-bert",
    "regression": "tiny-roberta",
    "causal_lm": "tiny-llama",
    "seq2seq": "tiny-bart",
    "question_answering": "tiny-bert",
    "image": "tiny-vit",
}


def tried(name: str) -> list[tuple[Settings, Settings]]:
    """Return what is tried of a setting: every value that its type lists, or what the table has."""
    kind = TrainSettings.model_fields[name].annotation
    base = {"padding": "longest"} if name == "length_grouping" else {}
    if name in VALUES:
        return VALUES[name]
    if kind is bool:
        return [(base, {name: True}), (base, {name: False})]
    if get_origin(kind) is Literal:
        return [(base, {name: value}) for value in get_args(kind)]
    assert name in IN_A_RUN, f"{name} is new: say in VALUES or IN_A_RUN what is tried"
    return []


# What comes after gradients, moves nothing or is of single layers is the same for every kind of
# task: two are enough.
AFTER_GRADIENTS = {*INERT, "optimizer", "momentum", "weight_decay", "clip", "empty_cache_steps",
                   "embedding_states", "optimizer_in_backward"}  # fmt: skip
OF_LAYERS = {"double_quant", "unquantized"}
OF_LANGUAGE = {"loss", "loss_chunks"}


def families(name: str) -> tuple[str, ...]:
    """Return the kinds of task that a setting is tried with."""
    if name in OF_LANGUAGE:
        return ("causal_lm",)
    if name in IN_A_RUN:
        return ("classification",)
    few = AFTER_GRADIENTS | OF_LAYERS
    return ("classification", "image") if name in few else tuple(MODELS)


CASES = [
    (family, name, base, change)
    for name in TrainSettings.model_fields
    for base, change in tried(name)
    for family in families(name)
]


def request_of(family: str, train: TrainSettings, **target: Any) -> Request:
    asked_for = asked.request(MODELS[family], family=family, **target)
    return asked_for.model_copy(update={"train": train})


@cache
def steps_of(family: str, train: TrainSettings) -> tuple[dict[str, int], ...]:
    """Return the figures of a forecast for the CPU and of the real step there."""
    what = request_of(family, train, target=CPU)
    return figures(fake_run(what).report), figures(real_run(what))


def figures(report: LedgerReport) -> dict[str, int]:
    rest = {"at rest": report.at_rest, "saved": report.saved}
    return {**report.peaks, "peak": report.peak, **rest}


@pytest.mark.parametrize(("family", "name", "base", "change"), CASES)
def test_a_setting_moves_forecast_and_step_alike(
    request: pytest.FixtureRequest, family: str, name: str, base: Settings, change: Settings
) -> None:
    if name == "label_smoothing" and not get_family(family).smooths:
        pytest.skip("refused: test_state.py")
    if (name, family) == ("gradient_checkpointing", "seq2seq") and change[name]:
        request.applymarker(pytest.mark.xfail(strict=True, reason=MASKS))
    settings = TrainSettings(**{**base, **change})
    before, after = steps_of(family, TrainSettings(**base)), steps_of(family, settings)
    foreseen, real = (
        {key: new[key] - old[key] for key in new} for old, new in zip(before, after, strict=True)
    )
    apart = {key: foreseen[key] - real[key] for key in real}
    assert all(abs(share) <= 64 for share in apart.values()), apart
    if name in INERT:
        assert not any(real.values()), "a forecast of other values is taken from the cache"
    if family == families(name)[0]:
        on_gpu = request_of(family, settings)
        assert asked.forked(forecast, on_gpu).peak_reserved
        if not autocasts(on_gpu):  # the CPU casts other operators, which nobody forecasts
            assert abs(after[0]["peak"] - after[1]["peak"]) <= 64


def test_there_is_a_model_for_every_family() -> None:
    assert set(MODELS) == set(FAMILIES)


@cache
def run_of(folder: Path, data: str, *overrides: str) -> Record:
    """Run a small cell to its end."""
    if data == "texts":
        cell = texts(folder, "lora", *overrides)
    elif data == "pictures":
        place = folder / "pictures"
        if not place.exists():
            pictures.in_folders(place)
        task = f"tasks=[{{name: cifar10, folder: {place}}}]"
        cell = texts(folder, "lora", "model.config=tiny-vit", task, "train.epochs=1", *overrides)
    else:
        model = folder / ("tiny-bart" if data == "cnn_dailymail" else "tiny-llama")
        if not model.is_dir():
            speaking.model(model, model.name)
        # Of three steps, which do not see the longest rows.
        fixed = ("train.padding=max", "train.max_length=400")[: 1 + (data == "instructions")]
        cell = speaking.cell_of(folder, model, data, "lora", *fixed, *overrides)
    return run_cell(cell, silent)


def peaks_of(record: Record) -> tuple[int, int | None]:
    assert record.memory is not None
    return record.memory.peak_training, record.memory.peak_evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speaking.data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", IN_A_RUN)
def test_a_setting_of_a_run_is_in_its_forecast(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(CnnDailymailTask, "generation", Generation(max_new_tokens=4))
    monkeypatch.setattr(LanguageTask, "check", lambda self: None)
    monkeypatch.setattr(LanguageTask, "score", lambda self, *_: dict.fromkeys(self.metrics, 0.0))
    data, value, moves = IN_A_RUN[name]
    before, after = (run_of(folder, data, *o) for o in ((), (f"train.{name}={value}",)))
    for record in (before, after):
        assert record.forecast is not None
        [stage] = record.forecast.stages.values()
        training, evaluation = peaks_of(record)
        assert abs(stage.peak_allocated - training) <= 64
        assert abs((stage.peak_evaluation or 0) - (evaluation or 0)) <= 64
    assert (peaks_of(before) != peaks_of(after)) == moves
