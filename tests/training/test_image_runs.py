"""Training on images: what is drawn, what is not, and that a forecast is the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import EndsAfter, run, same, setup_of, silent
from pictures import in_folders
from tiny import build

from harness.cell import run_cell
from harness.errors import UserError
from harness.export import convert
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted

SUITE = """\
name: pictures
model: {config: MODEL}
tasks: [{name: cifar10, folder: FOLDER}]
methods: [METHOD]
protocol: safe
train: {batch_size: 4, epochs: 3, lr: 5.0e-3, evaluate: epoch}
"""
LORA = "{lora: {r: 4, dropout: 0.1, targets: qv}}"
SAFE = f"{{safe: {{over: {LORA}, tau: {{quantile: 0.6}}, max_warmup: 1, t_f: {{epochs: 1}}, " \
    "probe: 8}}"  # fmt: skip


def cell_of(folder: Path, method: str, *overrides: str, model: str = "tiny-vit") -> Cell:
    """Return the one cell of the suite on three classes of pictures."""
    pictures = folder / "pictures"
    if not pictures.exists():
        in_folders(pictures)
    file = folder / "pictures.yaml"
    text = SUITE.replace("MODEL", model).replace("FOLDER", str(pictures))
    file.write_text(text.replace("METHOD", method))
    (cell,) = load_suite(file, overrides).cells()
    return cell


def pixels(setup: Any, epoch: int, device: torch.device = torch.device("cpu")) -> torch.Tensor:
    """Return all training pixels as an epoch sees them, in the order of the rows."""
    found: torch.Tensor = setup.order_in(epoch).tensors(range(18), device)["pixel_values"]
    return found


def mirrored(setup: Any, epoch: int) -> list[bool]:
    """Tell of each training image whether the epoch mirrors it."""
    plain = setup.order.data.batch(range(18))["pixel_values"]
    seen = pixels(setup, epoch)
    is_plain = [torch.equal(one, other) for one, other in zip(plain, seen, strict=True)]
    turned = [torch.equal(one.flip(-1), other) for one, other in zip(plain, seen, strict=True)]
    assert all(one != other for one, other in zip(is_plain, turned, strict=True))
    return turned


def test_what_is_mirrored_depends_on_seed_epoch_and_image(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, LORA))
    epochs = [mirrored(setup, epoch) for epoch in range(8)]
    assert 0.3 < sum(map(sum, epochs)) / (8 * 18) < 0.7
    assert len({tuple(epoch) for epoch in epochs}) == 8
    other = setup_of(cell_of(tmp_path, "bitfit"))
    assert [mirrored(other, epoch) for epoch in range(8)] == epochs
    reseeded = setup_of(cell_of(tmp_path, LORA, "seeds=[1]"))
    assert mirrored(reseeded, 0) != epochs[0]


def test_nothing_is_drawn_for_evaluations_and_probes(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, SAFE))
    (first, *_), (again, *_) = list(setup.probe), list(setup.probe)
    assert torch.equal(first["pixel_values"], again["pixel_values"])
    plain = setup.order.data.batch(setup.probe.batches()[0])["pixel_values"]
    assert torch.equal(first["pixel_values"], plain)
    assert setup.evaluations["test"].mirrored is None  # type: ignore[attr-defined]


def test_augmentation_may_be_left_out(tmp_path: Path) -> None:
    plain, usual = cell_of(tmp_path, LORA, "train.augmentation=none"), cell_of(tmp_path, LORA)
    setup = setup_of(plain)
    assert torch.equal(pixels(setup, 0), pixels(setup, 1))
    assert setup.encoding_notes() == [f"training: {setup.preparer}"]
    assert plain.key != usual.key
    assert "augmentation" not in usual.model_dump(mode="json")["train"]
    text = "tasks=[{name: acceptability, train_rows: 8}]"
    refused = r"acceptability.*train.augmentation = 'none': means nothing for the family classific"
    with pytest.raises(UserError, match=refused):
        cell_of(tmp_path, LORA, text, "model.config=tiny-bert", "train.augmentation=none")


@pytest.mark.parametrize(("model", "stop"), [("tiny-vit", 3), ("tiny-swin", 7)])
def test_a_resumed_run_sees_the_same_pixels(tmp_path: Path, model: str, stop: int) -> None:
    cell = cell_of(tmp_path, SAFE, model=model)
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", stop))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [stop]
    same(again, run(cell))


@pytest.mark.parametrize(
    ("model", "method", "settings"),
    [
        ("tiny-vit", LORA, ("train.attention=eager",)),
        ("tiny-vit", "bitfit", ("train.eval_batch_size=6",)),
        ("tiny-vit", SAFE, ("train.eval_batch_size=6",)),
        ("tiny-swin", "full", ()),
        ("tiny-swin", "houlsby", ("train.label_smoothing=0.1",)),
        ("tiny-swin", SAFE, ("train.precision=bf16-weights", "train.accumulate=2")),
    ],
)
def test_the_forecast_of_a_run_on_images_is_its_ledger(
    tmp_path: Path, model: str, method: str, settings: tuple[str, ...]
) -> None:
    record = run_cell(cell_of(tmp_path, method, *settings, model=model), silent)
    assert record.outcome == "ok", record.message
    assert record.forecast is not None
    assert record.forecast.error is None
    assert record.memory is not None
    stages = record.forecast.stages.values()
    assert abs(max(s.peak_allocated for s in stages) - record.memory.peak_training) <= 64
    # In whichever stage of its method the run was first evaluated.
    apart = [abs((s.peak_evaluation or 0) - (record.memory.peak_evaluation or 0)) for s in stages]
    assert min(apart) <= 64
    assert "training: mirrored at random (assumed)" in record.data.notes  # type: ignore[union-attr]
    assert set(record.scores) == {"test"}


def test_three_colours_are_learned(tmp_path: Path) -> None:
    setup = run(cell_of(tmp_path, "full", "train.epochs=20", "train.lr=2.0e-3"))
    assert setup.state.result.scores["test"]["accuracy"] > 0.8  # one in three by chance


def test_pixels_have_the_type_of_the_weights(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, LORA, "train.precision=bf16-weights")
    assert setup_of(cell).order.data.batch([0])["pixel_values"].dtype == torch.bfloat16


def test_an_export_has_its_image_processor_beside_it(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    base = tmp_path / "base"
    build("tiny-vit", head="image", labels=10).save_pretrained(base)  # type: ignore[operator]
    values = {"image_processor_type": "ViTImageProcessor", "image_mean": [0.1, 0.2, 0.3],
              "image_std": [0.5, 0.5, 0.5], "size": {"height": 32, "width": 32}}  # fmt: skip
    (base / "preprocessor_config.json").write_text(json.dumps(values))
    cell = cell_of(tmp_path, LORA, f"model.path={base}", "train.epochs=1")
    store = Store(tmp_path / "runs")
    record = run_cell(cell, silent, export=("adapter", store))
    assert record.export is not None, record.message
    adapter, whole = store.folder / record.export.folder, tmp_path / "whole"
    convert(adapter, whole)
    for folder in (adapter, whole):
        processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        assert list(processor.image_mean) == [0.1, 0.2, 0.3]
    model = AutoModelForImageClassification.from_pretrained(whole)
    assert model.config.id2label[3] == "cat"
    assert model.config.num_labels == 10


def test_without_its_processor_a_model_is_refused_before_it_trains(tmp_path: Path) -> None:
    base = tmp_path / "base"
    build("tiny-vit", head="image").save_pretrained(base)  # type: ignore[operator]
    from harness.suite.preflight import check_cells

    with pytest.raises(UserError, match=r"no preprocessor_config.json in .*base"):
        check_cells([cell_of(tmp_path, LORA, f"model.path={base}")])
