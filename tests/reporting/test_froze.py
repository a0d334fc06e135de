"""What froze when, as records tell it."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import eight_cells, record

from harness.reporting.figures.froze import Froze, froze, place_of
from harness.suite.cell import Cell

AFLORA = {"encoder.layer.0.dense.A": 20, "encoder.layer.0.dense.B": 40,
          "encoder.layer.1.dense.A": 60, "encoder.layer.1.dense.B": None,
          "encoder.layer.1.dense.d": None}  # fmt: skip


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def test_the_layer_of_a_tensor_and_its_name_in_there() -> None:
    assert place_of("bert.encoder.layer.3.output.dense.A") == ("bert.encoder.layer.3",
                                                               "output.dense.A")  # fmt: skip
    swin = "swin.encoder.layers.1.blocks.0.attention.query.A"
    assert place_of(swin) == ("swin.encoder.layers.1.blocks.0", "attention.query.A")
    assert place_of("layers.2.adapters.0.weight") == ("layers.2", "adapters.0.weight")
    assert place_of("embeddings.A") == ("", "embeddings.A")


def test_a_map_of_freezing_holds_what_froze_somewhere() -> None:
    half = {name: step and step + 20 for name, step in AFLORA.items()}
    both = Froze("aflora", 100, [AFLORA, half])
    assert both.kinds == ["dense.A", "dense.B"], "no vector ever froze"
    assert both.layers == ["encoder.layer.0", "encoder.layer.1"]
    assert both.by_kind
    assert both.changes == [0, 20, 40, 60, 80, 100]
    assert [both.training("encoder.layer.0", step) for step in (0, 20, 40, 60)] == [
        1,
        0.75,
        0.25,
        0,
    ]
    assert both.step("encoder.layer.1", "dense.A") == 70
    assert both.step("encoder.layer.1", "dense.B") is None


def test_records_from_before_there_was_a_list_tell_it_too(cells: list[Cell]) -> None:
    """AFLoRA said it by tensor, SAFE by layer and epoch."""
    frozen = {name: step for name, step in AFLORA.items() if step is not None}
    aflora = froze([record(cells[0], 0.5, method_state={"frozen_at": frozen})], "aflora")
    assert aflora is not None
    assert aflora.step("encoder.layer.1", "dense.A") == 60
    state = {"frozen_at_epoch": {"1": 1}, "importance": {"0": {"0": 0.1, "1": 0.2}}}
    history = [{"epoch": 0, "steps": 65, "loss": 1.0}, {"epoch": 1, "steps": 130, "loss": 1.0}]
    safe = froze([record(cells[0], 0.5, method_state=state, history=history)], "safe")
    assert safe is not None
    assert not safe.by_kind
    assert [safe.step(f"layer.{unit}", "adapter") for unit in "01"] == [None, 65]
    assert froze([record(cells[0], 0.5)], "lora") is None
    assert froze([record(cells[0], 0.5, outcome="diverged", frozen_at=AFLORA)], "aflora") is None


def test_what_a_method_cut_out_after_the_last_step_trained_to_the_end(cells: list[Cell]) -> None:
    """AdaLoRA and SoRA remove ranks in the end: of each run's own steps, which may differ."""
    after = {"layer.0.A": 130, "layer.0.B": 131, "layer.1.A": None}
    assert froze([record(cells[0], 0.5, frozen_at=after)], "sora") is None
    shorter = {"layer.0.A": 129, "layer.0.B": 100, "layer.1.A": None}
    runs = [record(cells[0], 0.5, frozen_at=after), record(cells[1], 0.5, frozen_at=shorter),
            record(cells[1], 0.5, frozen_at=shorter, steps=100)]  # fmt: skip
    found = froze(runs, "sora")
    assert found is not None
    assert found.runs == [dict.fromkeys(after), shorter, dict.fromkeys(after)]
    assert found.changes == [0, 100, 129, 130]
    assert found.step("layer.0", "A") == 129, "the mean over the run in which it froze"
