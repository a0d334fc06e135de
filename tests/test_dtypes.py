"""Types of a run: what presets and the settings beside them come to, and what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from cells import cell_of

from harness.dtypes import PRESETS, Dtypes, read, resolved
from harness.errors import UserError

WEIGHTS = (None, "fp32", "bf16", "fp16", "nf4", "fp4", "int8")
COMPUTE = (None, "fp32", "tf32", "bf16", "fp16")
ANY = (None, True, False)


@pytest.mark.parametrize(
    ("said", "come_to"),
    [
        ({"precision": "bf16"}, ("fp32", "bf16", True, "fp32")),
        ({"precision": "fp32", "weights": "bf16"}, ("bf16", "bf16", False, "fp32")),
        ({"precision": "bf16", "weights": "bf16"}, ("bf16", "bf16", True, "fp32")),
        ({"precision": "fp16", "weights": "bf16"}, ("bf16", "fp16", True, "fp32")),
        ({"precision": "bf16-weights", "autocast": True}, ("bf16", "bf16", True, "fp32")),
        ({"precision": "fp32", "compute": "bf16"}, ("fp32", "bf16", True, "fp32")),
        ({"precision": "bf16", "compute": "fp32"}, ("fp32", "fp32", False, "fp32")),
        ({"precision": "tf32", "weights": "nf4"}, ("nf4", "tf32", False, "fp32")),
        ({"precision": "fp32", "weights": "nf4"}, ("nf4", "bf16", False, "fp32")),
        ({"precision": "fp16-weights", "weights": "nf4"}, ("nf4", "fp16", False, "fp32")),
        ({"weights": "nf4", "compute": "fp32"}, ("nf4", "fp32", False, "fp32")),
        ({"precision": "bf16-weights", "adapters": "same"}, ("bf16", "bf16", False, "same")),
        ({"precision": "fp32", "adapters": "same"}, ("fp32", "fp32", False, "fp32")),
    ],
)  # fmt: skip
def test_what_is_said_comes_to(said: dict[str, object], come_to: tuple[object, ...]) -> None:
    assert tuple(resolved(**{"precision": "fp32", **said})) == come_to  # type: ignore[arg-type]


def test_every_preset_is_its_own_four_and_back() -> None:
    for name, four in PRESETS.items():
        assert resolved(name) == four == resolved("fp32", *four) == read(four.named()) == read(name)
        assert (four.preset, str(four), four.obstacle()) == (name, name, None)


def test_what_is_read_back_is_what_was_said() -> None:
    """All combinations resolve, keep what was said unless refused, and survive being written."""
    for name, weights, compute, autocast, adapters in product(
        PRESETS, WEIGHTS, COMPUTE, ANY, (None, "fp32", "same")
    ):
        four = resolved(name, weights, compute, autocast, adapters)
        assert read(four.named()) == four
        assert compute in (None, four.compute)
        assert weights in (None, four.weights)
        assert autocast in (None, four.autocast)
        if weights is None and compute is None and autocast is None:
            assert four.obstacle() is None or four.adapters == "same"


@pytest.mark.parametrize(
    ("four", "reason"),
    [
        (Dtypes("fp32", "fp32", True, "fp32"), "autocast needs compute bf16 or fp16"),
        (Dtypes("bf16", "tf32", False, "fp32"), "tf32 is of fp32 weights"),
        (Dtypes("fp32", "bf16", False, "fp32"), "needs autocast: true"),
        (Dtypes("bf16", "fp16", False, "fp32"), "needs autocast: true"),
        (Dtypes("fp16", "fp16", True, "same"), "scaler"),
    ],
)
def test_what_no_run_can_have_says_why(four: Dtypes, reason: str) -> None:
    assert reason in (four.obstacle() or "")


def test_two_ways_to_say_one_thing_are_one_cell(tmp_path: Path) -> None:
    def key(*overrides: str) -> str:
        return cell_of(tmp_path, "lora", *overrides).key

    assert key("train.precision=bf16-weights") == key("train.weights=bf16")
    assert key("train.precision=bf16") == key("train.compute=bf16")
    assert key("train.weights=bf16", "train.autocast=true") != key("train.weights=bf16")
    assert key("train.weights=bf16", "train.adapters=same") != key("train.weights=bf16")


def test_a_suite_s_contradiction_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.compute bf16 over weights fp32 needs autocast"):
        cell_of(tmp_path, "lora", "train.compute=bf16", "train.autocast=false")
    with pytest.raises(UserError, match=r"train\.compute tf32 is of fp32 weights"):
        cell_of(tmp_path, "lora", "train.precision=tf32", "train.weights=bf16")
    with pytest.raises(UserError, match=r"train\.compute bf16 over weights fp32 needs autocast"):
        cell_of(tmp_path, "lora", "train.precision=bf16", "train.autocast=false")
    with pytest.raises(UserError, match=r"train\.double_quant is of weights nf4"):
        cell_of(tmp_path, "lora", "train.double_quant=true")
