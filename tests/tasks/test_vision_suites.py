"""The image suites: SAFE's appendix C.4 as printed, and a twin that runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.suite.load import load_suite

SUITES = Path(__file__).resolve().parents[2] / "suites"
MODELS = ("vit-base", "vit-large", "swin-base", "swin-large")
# LoRA's learning rates x 1e-4 on the four models; None: not reported.
RATES: dict[str, tuple[float | None, ...]] = {
    "cifar10": (30, 6, 10, 8),
    "cifar100": (30, 5, 10, 7),
    "fashion_mnist": (30, 9, 10, 10),
    "oxford_flowers": (8, None, 7, None),
    "food101": (30, 7, 9, 5),
    "tiny_imagenet": (8, 6, 10, 6),
    "country211": (40, 9, 7, 6),
    "stanford_cars": (70, 10, 10, 30),
}
FLOWERS = {"vit-base": 40, "swin-base": 30}


def test_rates_epochs_and_batch_are_those_of_the_appendix() -> None:
    found: dict[tuple[str, str], set[tuple[float, int, int]]] = {}
    for cell in load_suite(SUITES / "safe_vision.yaml").cells():
        model = next(name for name in MODELS if cell.model.name.startswith(name))
        train = cell.train
        facts = (round(train.lr * 1e4, 6), train.epochs, train.batch_size)
        found.setdefault((cell.task_label, model), set()).add(facts)
    expected = {
        (task, model): {(rate, _epochs(task, model), 64)}
        for task, rates in RATES.items()
        for model, rate in zip(MODELS, rates, strict=True)
        if rate is not None
    }
    assert found == expected


def _epochs(task: str, model: str) -> int:
    usual = 100 if model.startswith("vit") else 50
    return FLOWERS[model] if task == "oxford_flowers" else usual


def test_the_twin_has_the_same_rows_and_more() -> None:
    labels = {suite: {cell.method_label for cell in load_suite(SUITES / f"{suite}.yaml").cells()}
              for suite in ("safe_vision", "vision_small")}  # fmt: skip
    assert labels["safe_vision"] == {"lora", "lora-safe"}
    assert labels["vision_small"] == labels["safe_vision"] | {"full", "bitfit"}


def test_what_is_left_out_must_be_there(tmp_path: Path) -> None:
    text = (SUITES / "safe_vision.yaml").read_text()
    file = tmp_path / "suite.yaml"
    file.write_text(text.replace("tasks: [oxford_flowers]", "tasks: [oxford_flower]", 1))
    told = r"suite.yaml:\d+: without.0.tasks: 'oxford_flower' fits none .*'oxford_flowers'"
    with pytest.raises(UserError, match=told):
        load_suite(file)
    file.write_text(text.replace('models: ["*large*"], tasks: [oxford', "modles: [a], tasks: [oxf"))
    with pytest.raises(UserError, match=r"unknown key 'without.0.modles'; did you mean 'models'"):
        load_suite(file)
    with pytest.raises(UserError, match="without leaves out every cell"):
        load_suite(SUITES / "safe_vision.yaml", ["without=[{}]"]).cells()
