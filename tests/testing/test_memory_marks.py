"""Marks in a project of somebody else's: what passes, what fails, and what is said."""

from __future__ import annotations

import importlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from harness.testing.forked import IMPORTED

ROOT = Path(__file__).resolve().parents[2]
pytest_plugins = ["pytester"]

# In CI the package is installed, and pytest finds the plug-in by itself.
INSTALLED = any(each.name == "headroom" for each in entry_points(group="pytest11"))
LOADED = ("-p", "no:cacheprovider", *(() if INSTALLED else ("-p", "harness.testing.plugin")))
PROJECT = """
import os, unittest
import pytest, torch
from torch import nn
from torch.nn.functional import dropout

class Net(nn.Module):
    def __init__(self, wide=int(os.environ.get("WIDE", 1024))):
        super().__init__()
        self.up, self.down = nn.Linear(256, wide), nn.Linear(wide, 256)
    def forward(self, x, y):
        return nn.functional.mse_loss(self.down(torch.relu(self.up(x))), y)

def batch():
    return {"x": torch.randn(512, 256), "y": torch.randn(512, 256)}

budget = pytest.mark.memory_budget
"""
OVER = "31.77 MiB on rtx4090: 11.77 MiB over the budget of 20.00 MiB (+58.83 %)"


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import once what each run inside of this process would import and forget again."""
    for name in (*IMPORTED, "torch._dynamo", "harness.testing.session"):
        importlib.import_module(name)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\nmemory_gpu = rtx4090\n")
    return pytester


def written(project: pytest.Pytester, tests: str) -> None:
    project.makepyfile(test_memory=PROJECT + tests)


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess(*LOADED, *arguments)


def widest(done: pytest.RunResult, first: str) -> int:
    """Return the length of the longest line of a message, from the given one on."""
    lines = done.outlines[done.outlines.index(first) :]
    last = next(n for n, line in enumerate(lines) if line.startswith("reserved "))
    return max(map(len, lines[: last + 1]))


TWO = """
@budget("64 MiB", gpu="rtx4090")
def test_within():
    return Net(), batch()

@budget("20 MiB", gpu="rtx4090")
def test_over():
    return Net(), batch()
"""


def test_a_failure_says_what_is_alive(project: pytest.Pytester) -> None:
    written(project, TWO)
    done = run(project)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines([
        "*test_over*", OVER, "(of the training step; allocated; a forecast)",
        "alive at the peak, in backward, of 31.77 MiB allocated:",
        "  *16.2 MiB*temporary*(cublas)", "*2.5 MiB*activations*Net", "*2.0 MiB*optimizer*up",
    ])  # fmt: skip
    assert widest(done, OVER) <= 80


def test_a_worker_hands_on_what_it_found_and_junit_has_the_message(
    project: pytest.Pytester,
) -> None:
    written(project, TWO.replace("@budget", "@pytest.mark.memory_increase()\n@budget"))
    done = project.runpytest_subprocess(
        *LOADED, "-n", "1", "--junit-xml=report.xml", "--memory-accept"
    )
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["memory_accepted.toml: 1 accepted, 0 as before"])
    case = ElementTree.parse(project.path / "report.xml").find(".//testcase[@name='test_over']")
    assert case is not None
    failure = case.find("failure")
    assert failure is not None
    assert OVER in failure.attrib["message"]
    assert "alive at the peak" in str(failure.text)
    values = {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
    assert values["memory_budget.rtx4090.allocated_bytes"] == "33309696"


def test_what_was_accepted_may_not_grow(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(project, """
@pytest.mark.memory_increase("1 %")
def test_step():
    return Net(int(os.environ["WIDE"])), batch()
""")  # fmt: skip
    monkeypatch.setenv("WIDE", "1024")
    done = run(project)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([
        "1 without an accepted peak, held against nothing:", "  *::test_step @ rtx4090",
    ])  # fmt: skip
    strict = run(project, "--memory-strict")
    strict.assert_outcomes(failed=1)
    strict.stdout.fnmatch_lines(["memory_increase: no peak has been accepted for *"])
    assert not (project.path / "memory_accepted.toml").exists()
    run(project, "--memory-accept", "--memory-reason", "the first").assert_outcomes(passed=1)
    kept = (project.path / "memory_accepted.toml").read_text()
    assert 'reason = "the first"' in kept
    monkeypatch.setenv("WIDE", "1280")
    grown = run(project)
    grown.assert_outcomes(failed=1)
    grown.stdout.fnmatch_lines([
        "*MiB on rtx4090: * MiB more than the accepted 31.77 MiB (+*", "grew most, at the peak:",
        "  +* MiB  optimizer*up", "to accept it: pytest --memory-accept --memory-reason '...'",
    ])  # fmt: skip
    assert widest(grown, "grew most, at the peak:") <= 80
    assert (project.path / "memory_accepted.toml").read_text() == kept
    done = run(project, "--memory-accept")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["  *::test_step @ rtx4090: 31.77 MiB -> 3*"])


def test_a_step_may_be_anything(project: pytest.Pytester) -> None:
    written(project, """
model = Net()

@pytest.fixture
def optimizer():
    return torch.optim.SGD(model.parameters(), lr=0.1)

@budget("30 MiB")
def test_a_step_of_its_own(optimizer):
    def step():
        rows = {name: value.to("cuda") for name, value in batch().items()}
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(**rows)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(loss.item())
    return step

@budget("17 MiB", step="inference")
@budget("20 MiB", step="inference", of="reserved", gpu="h100")
def test_inference():
    return Net().cuda(), batch()

@budget("30 MiB", clip=1.0, autocast="bf16")
def test_parts():
    with torch.device("meta"):
        model = nn.Linear(256, 256)
    return {
        "model": model, "batch": (torch.randn(8, 256),),
        "loss": lambda out, batch: out.pow(2).mean(),
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=1.0),
    }

@budget()
def test_skipped():
    pytest.skip("not today")
""")  # fmt: skip
    done = run(project, "-v")
    done.assert_outcomes(passed=2, failed=1, skipped=1)
    done.stdout.fnmatch_lines(
        ["58.00 MiB on h100: 38.00 MiB over the budget of 20.00 MiB (+190.00 %)"]
    )


def test_numbers_of_a_batch_are_known(project: pytest.Pytester) -> None:
    written(project, """
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(100, 64), nn.Linear(64, 4096)
    def forward(self, ids, mask, lengths):
        hidden = dropout(self.table(ids), 0.1)
        assert lengths.max().item() == 32 and not mask.all()
        return self.out(hidden[mask]).pow(2).mean()

def given(kept):
    mask = torch.zeros(64, 32, dtype=torch.bool)
    mask[:, :kept] = True
    ids = torch.randint(100, (64, 32))
    return Masked(), {"ids": ids, "mask": mask, "lengths": torch.full((64,), 32)}

@budget("1 MiB")
@pytest.mark.parametrize("kept", [4, 8])
def test_rows(kept):
    return given(kept)

@budget("100 MiB")
def test_unknown():
    model, rows = given(4)
    def step():
        loss = model(**rows)
        if loss > 2:
            raise ValueError
    return step

@budget("100 MiB", values={"test_memory.py:step": False})
def test_told():
    return test_unknown()
""")  # fmt: skip
    done = run(project)
    done.assert_outcomes(passed=1, failed=3)
    peaks = [line for line in done.outlines if line.startswith("alive at the peak")]
    assert len(set(peaks)) == 2  # with more rows, more is alive
    done.stdout.fnmatch_lines([
        "test_memory.py:*: `step` reads a value from a tensor, and a forecast has none; say it in "
        "the mark: values={'test_memory.py:step': ...}"
    ])  # fmt: skip


def test_mistakes_are_told(project: pytest.Pytester) -> None:
    written(project, """
@budget("20 MiB", gpu="rtx4091")
def test_card(): ...

@budget("much")
def test_limit(): ...

@budget("1 MiB", steps="inference")
def test_key(): ...

@budget("1 MiB")
def test_nothing(): ...

@budget("1 MiB")
def test_lost():
    return Net(), {"z": torch.zeros(2)}

@budget("1 MiB")
def test_recurrent():
    return nn.LSTM(8, 8), torch.zeros(2, 2, 8)

@budget("1 MiB", step="inference", gpu="custom:0.43:8.6")
def test_card_is_too_small():
    return nn.Linear(64, 64), torch.zeros(2, 64)

class TestCase(unittest.TestCase):
    @budget("1 MiB")
    def test_method(self): ...
""")  # fmt: skip
    done = run(project)
    done.assert_outcomes(failed=7, errors=1)
    done.stdout.fnmatch_lines([
        "memory_budget: gpu = rtx4091: unknown card; did you mean 'rtx4090'*",
        "memory_budget: 'much' is no size; write it as '3.2 GiB', '500 MB' or in bytes",
        "memory_budget: unknown key 'steps'; did you mean 'step'?*",
        "the function has returned nothing; return (model, batch), a step to call, *",
        "TypeError: *unexpected keyword argument 'z'",
        "nn.LSTM cannot be simulated: *",
        "*MiB to reserve on custom:0.43:8.6, which has *: the step does not fit",
    ])  # fmt: skip
    done.stdout.fnmatch_lines(["memory_budget and memory_increase are for plain test functions*"])


def test_other_projects_pay_nothing_for_the_plug_in(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import sys
        def test_one(): ...
        def test_nothing_was_imported():
            assert not {"torch", "pydantic", "yaml", "harness.testing.session"} & set(sys.modules)
    """)
    project.runpytest_subprocess(*LOADED, "-p", "no:hypothesispytest").assert_outcomes(passed=2)
    heavy = ("torch", "transformers", "pydantic", "yaml", "numpy", "harness.testing.session")
    code = (
        "import sys, pytest\nbefore = len(sys.modules)\nimport harness.testing.plugin\n"
        f"print([n for n in {heavy} if n in sys.modules], len(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("[] "), done.stderr
    assert int(done.stdout.split()[-1]) < 10
