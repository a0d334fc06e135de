"""One cell against another: every byte between two peaks has a place, and a layer that holds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bare import SUITE, cells

from harness.forecast import app
from harness.forecasting.against import Against, against, within
from harness.forecasting.cards import CARDS
from harness.forecasting.forecaster import Forecaster
from harness.reporting.layers import layer_files, layer_text
from harness.reporting.two_cells import against_notes, against_tables

LORA = "peft.tuners.lora.layer.Linear"
LINEAR = "torch.nn.modules.linear.Linear"
QUERY = "bert.encoder.layer.*.attention.self.query"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Against:
    folder = tmp_path_factory.mktemp("against")
    full, lora = cells(folder, "seeds=[0]")
    return against(Forecaster(None, 2), lora, full, [CARDS["rtx4090"]])


def test_what_came_and_went_is_the_whole_difference(found: Against) -> None:
    ours, theirs = (remedy.step for remedy in found.steps)
    unsplit = ours.split["unsplit"] - theirs.split["unsplit"]
    moved = sum(one.more for one in found.moved)
    assert moved + unsplit == ours.peak_allocated - theirs.peak_allocated != 0
    assert [*found.came, *found.went] != []
    sizes = [abs(one.more) for one in found.moved]
    assert sizes == sorted(sizes, reverse=True)


def test_places_are_those_of_the_model_that_both_adapt(found: Against) -> None:
    at_query = {one.where.category: one for one in found.moved if one.where.place == QUERY}
    assert at_query["weights"].more > 0, "the adapter's weights; the base's are the same"
    assert at_query["weights"].classes == (LORA, LINEAR)
    assert {"gradients", "optimizer"} & {one.where.category for one in found.went}
    assert not any("lora_A" in one.where.place for one in found.moved)
    base = {one.where.place for one in found.moved if one.where.category == "weights"}
    assert "bert.embeddings.word_embeddings" not in base


def test_tables_name_layers_and_price_the_parts(found: Against) -> None:
    split, came, went, times = against_tables(found)
    [name, *_] = [cell.method_label for cell in found.cells]
    assert split.headers == ["what", name, "full", "more"]
    assert split.texts[-1][0] == "peak"
    assert sum(pair.ours for pair in split.rows[:-1]) == found.steps[0].step.peak_allocated
    for table, moves in ((came, found.came), (went, found.went)):
        assert sum(row.more for row in table.rows) == sum(one.more for one in moves)
    assert "peft lora.Linear for torch Linear" in {row[1] for row in came.texts}
    parts = {row.name: row.ours for row in times.rows}
    in_step = [parts[part] for part in ("forward", "backward", "optimizer")]
    assert sum(in_step) == pytest.approx(parts["step"], rel=0.01)
    told = " ".join(against_notes(found))
    assert "peft/tuners/lora/layer.py: peft lora.Linear" in told
    assert f"A step of {name} on rtx4090: " in told


def test_the_command_wants_two_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "shapes.yaml", tmp_path / "two.json"
    file.write_text(SUITE)

    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app([str(file), *arguments])
        assert ended.value.code == 2
        return capsys.readouterr().err

    assert "--explain CELL" in refused("--against", "*/full/s0")
    assert "--against matches 2 cells" in refused("--explain", "*/lora*/s0", "--against", "*/full*")
    assert "--against '*/none' matches none" in refused(
        "--explain", "*/lora*/s0", "--against", "*/none"
    )
    with pytest.raises(SystemExit) as ended:
        app([str(file), "--explain", "*/lora*/s0", "--against", "*/full/s0", "--json", str(out),
             "--out", str(tmp_path / "why")])  # fmt: skip
    assert not ended.value.code
    told = json.loads(out.read_text())
    assert told == json.loads((tmp_path / "why" / "against.json").read_text())
    assert told["theirs"]["cell"].endswith("/full/s0")
    assert told["moved"][0].keys() >= {"category", "place", "op", "classes", "ours", "theirs"}
    assert "## What came" in (tmp_path / "why" / "report.md").read_text()


def test_layers_go_by_package_and_class() -> None:
    named = {
        "transformers.models.llama.modeling_llama.LlamaMLP": "transformers LlamaMLP",
        LORA: "peft lora.Linear",
        LINEAR: "torch Linear",
        "methods.elora.layer.ELoRALinear": "headroom ELoRALinear",
        f"{LORA} | {LINEAR}": "peft lora.Linear | torch Linear",
        "": "",
    }
    assert {name: layer_text(name) for name in named} == named
    assert layer_files(named) == {
        "transformers LlamaMLP": "transformers/models/llama/modeling_llama.py",
        "peft lora.Linear": "peft/tuners/lora/layer.py",
        "headroom ELoRALinear": "methods/elora/layer.py",
    }
    places = {"model", "model.norm"}
    assert within("model.norm.weight", places) == "model.norm"
    assert within("lm_head.weight", places) == ""
