"""CKA over training: against the formula as it is printed, by the seed, across interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import RESUMED, EndsAfter, cell_of, setup_of
from torch import Tensor

from harness.record import Analysed
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted, Loop
from methods import surgery

LORA = "{lora: {r: 4, dropout: 0.1, targets: qv}}"
SAFE = f"{{safe: {{over: {LORA}, tau: {{quantile: 0.6}}, max_warmup: 2, t_f: {{epochs: 3}}, "
MERGED = SAFE + "probe: 16, merge: true}}"
ASKED = "analyses={cka: {points: 6, examples: 24, rows: 4096}}"


def looked(folder: Path, method: str, *overrides: str, checkpoints: Any = None) -> Analysed:
    loop = Loop(setup_of(cell_of(folder, method, *RESUMED, ASKED, *overrides), checkpoints))
    loop.run()
    return loop.studies.results["cka"]


def plain_cka(x: Tensor, y: Tensor) -> float:
    """Kornblith et al. (2019): HSIC(XX', YY') / sqrt(HSIC(XX', XX') HSIC(YY', YY'))."""
    n = len(x)
    centre = torch.eye(n, dtype=torch.float64) - torch.full((n, n), 1 / n, dtype=torch.float64)
    x, y = x.double(), y.double()

    def hsic(k: Tensor, m: Tensor) -> Tensor:
        return torch.trace(centre @ k @ centre @ m) / (n - 1) ** 2

    own = hsic(x @ x.T, y @ y.T)
    return float(own / (hsic(x @ x.T, x @ x.T) * hsic(y @ y.T, y @ y.T)).sqrt())


def test_it_is_the_printed_formula_on_what_the_layers_put_out(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, LORA, *RESUMED, ASKED))
    first = outputs(setup)
    loop = Loop(setup)
    loop.run()
    last, found = outputs(setup), loop.studies.results["cka"]
    expected = [plain_cka(x, y) for x, y in zip(first, last, strict=True)]
    assert found.content["cka"][0] == pytest.approx(expected, abs=1e-6)
    assert min(expected) < 0.9999, "something has been learned"
    assert found.content["cka"][-1] == pytest.approx([1.0] * len(last))
    assert found.content["steps"] == [0, 4, 8, 12, 16, 20, 24]
    assert found.content["rows"] == len(last[0])
    assert found.error is None


def outputs(setup: Any) -> list[Tensor]:
    """Every layer's output for all training rows, without padding, the longest batches first."""
    rows: list[list[Tensor]] = [[] for _ in surgery.layers(setup.model)]
    was_training = setup.model.training
    setup.model.eval()
    for index, layer in enumerate(surgery.layers(setup.model)):

        def keep(_m: Any, _a: Any, out: Any, index: int = index) -> None:
            rows[index].append(out[0] if isinstance(out, tuple) else out)

        hook = layer.register_forward_hook(keep)
        with torch.no_grad():
            for example in range(len(setup.order.data)):
                setup.model(**setup.family.inputs(setup.order.tensors([example], setup.device)))
        hook.remove()
    setup.model.train(was_training)
    return [torch.cat([part.flatten(0, -2) for part in parts]) for parts in rows]


@pytest.mark.parametrize("method", [LORA, MERGED, "full"], ids=["lora", "safe-merge", "full"])
def test_an_interrupted_run_finds_the_same(tmp_path: Path, method: str) -> None:
    whole = looked(tmp_path, method)
    for stop in (1, 8, 13):
        folder = tmp_path / f"checkpoint-{stop}"
        with pytest.raises(Interrupted):
            looked(tmp_path, method, checkpoints=EndsAfter(folder, stop))
        again = looked(tmp_path, method, checkpoints=Checkpoints(folder, every=1e9))
        assert again.content == whole.content
        assert again.headline == whole.headline


def test_it_is_the_seed_s_alone(tmp_path: Path) -> None:
    assert looked(tmp_path, LORA).content == looked(tmp_path, LORA).content
    other = looked(tmp_path, LORA, "seeds=[1]")
    assert other.content["cka"] != looked(tmp_path, LORA).content["cka"]


def test_fewer_steps_than_points_are_looked_at_once_each(tmp_path: Path) -> None:
    found = looked(tmp_path, LORA, "train.max_steps=3", "analyses={cka: {points: 100}}")
    assert found.content["steps"] == [0, 1, 2, 3]


def test_few_rows_are_told(tmp_path: Path) -> None:
    found = looked(tmp_path, LORA, "analyses={cka: {points: 1, examples: 4, rows: 30}}")
    assert found.content["rows"] <= 30
    assert "few rows make everything look alike" in found.notes[0]
