"""What a suite asks of its runs: refused with a place, in no key while unasked, done in runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import LORA, cell_of, suite_file

from harness.errors import UserError
from harness.suite.load import load_suite

GOOD = """\
name: small
model: {config: tiny-bert}
tasks: [acceptability]
methods: [lora]
analyses:
  cka: {points: 3}
  hessian:
    over: [trained]
    top: 2
"""
WRONG = [
    (GOOD.replace("hessian:", "hesian:"), [], ["yaml:7", "'hesian'", "did you mean 'hessian'"]),
    (GOOD.replace("top:", "topp:"), [], ["yaml:9", "'analyses.hessian.topp'", "'top'"]),
    (GOOD.replace("points: 3", "points: 0"), [], ["yaml:6", "analyses.cka.points", "0"]),
    (GOOD.replace("[trained]", "[trainable, trained, trained]"), [], ["yaml:8", "each of them"]),
    (GOOD.replace("[trained]", "[all]"), [], ["yaml:8", "analyses.hessian.over", "'all'"]),
    (GOOD.replace("{points: 3}", "3"), [], ["yaml:6", "analyses.cka: options are a mapping", "3"]),
    (GOOD, ["analyses=[cka]"], ["override analyses", "mapping of analyses", "['cka']"]),
    (GOOD, ["analyses.landscape.points=4"], ["override", "points", "4 is even"]),
    (GOOD, ["analyses.hessian.tolerance=2"], ["override", "tolerance", "less than 1"]),
    (GOOD + "assumed: {analyses.cka.rowz: x}\n", [], ["assumed.analyses.cka.rowz", "'rows'"]),
    (GOOD + "assumed: {analyses.landscape: x}\n", [], ["not asked for", "hessian"]),
]


@pytest.mark.parametrize(("text", "overrides", "words"), WRONG)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, text: str, overrides: list[str], words: list[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_suite(file, overrides).cells()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train={attention: flash_attention_2, precision: bf16}"],
         ["analyses.hessian", "flash_attention_2", "sdpa and eager"]),
        (["train.precision=bf16-weights"], ["analyses.hessian", "bf16-weights"]),
        (["methods=[meft]"], ["analyses.hessian", "meft cannot be differentiated twice"]),
        (["methods=[{adapterdrop: {over: lora}}, meft]"], ["/meft", "analyses.hessian"]),
        (["tasks=[{shape: {family: classification, batch_size: 2, length: 8}}]"],
         ["analyses.cka", "a bare shape has no data"]),
    ],
)  # fmt: skip
def test_a_run_on_which_it_cannot_be_done_is_refused(
    tmp_path: Path, overrides: list[str], words: list[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(GOOD)
    with pytest.raises(UserError) as error:
        load_suite(file, overrides).cells()
    for word in words:
        assert word in str(error.value)


def test_the_others_can_be_done_there(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(GOOD)
    overrides = ["analyses={cka: {}, landscape: {}}", "methods=[meft]"]
    assert load_suite(file, overrides).cells()


def test_a_cell_s_key_knows_of_analyses_only_where_they_are_asked_for(tmp_path: Path) -> None:
    plain = cell_of(tmp_path, LORA)
    empty = cell_of(tmp_path, LORA, "analyses={}")
    asked = cell_of(tmp_path, LORA, "analyses={cka: {}}")
    said = cell_of(tmp_path, LORA, "analyses={cka: {points: 12}}")
    assert "analyses" not in plain.model_dump(mode="json")
    assert plain.key == empty.key
    assert asked.key == said.key != plain.key, "a default that is said is no other cell"
    assert asked.analyses["cka"] == {"points": 12, "examples": 512, "rows": 4096}


def test_loading_a_suite_with_analyses_imports_no_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    file = suite_file(tmp_path, "lora")
    code = (
        "import sys; from pathlib import Path; from harness.suite.load import load_suite; "
        "load_suite(Path(sys.argv[1]), ['analyses={cka: {}, hessian: {}, landscape: {}}']).cells();"
        " assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
