"""Marks in a project of somebody else's: what passes, what fails, and what is said."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

# In CI the package is installed, and pytest finds the plug-in by itself.
INSTALLED = any(each.name == "headroom" for each in entry_points(group="pytest11"))
LOADED = () if INSTALLED else ("-p", "harness.testing.plugin")
PROJECT = """
import pytest, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, wide=1024):
        super().__init__()
        self.up, self.down = nn.Linear(256, wide), nn.Linear(wide, 256)
    def forward(self, x, y):
        return nn.functional.mse_loss(self.down(torch.relu(self.up(x))), y)

def batch():
    return {"x": torch.randn(512, 256), "y": torch.randn(512, 256)}
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*LOADED, "-p", "no:cacheprovider", *arguments)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest("")
    return pytester


def written(project: pytest.Pytester, tests: str) -> None:
    project.makepyfile(test_memory=PROJECT + tests)


def test_budgets_pass_and_fail(project: pytest.Pytester) -> None:
    written(project, """
@pytest.mark.memory_budget("64 MiB", gpu="rtx4090")
def test_within():
    return Net(), batch()

@pytest.mark.memory_budget("20 MiB", gpu="rtx4090")
def test_over():
    return Net(), batch()
""")  # fmt: skip
    done = run(project, "--junit-xml=report.xml")
    done.assert_outcomes(passed=1, failed=1)
    said = "31.77 MiB on rtx4090: 11.77 MiB over the budget of 20.00 MiB (+58.84 %)"
    done.stdout.fnmatch_lines([
        "*test_over*", said, "(of the training step; allocated; a forecast)",
        "alive at the peak, in backward, of 31.77 MiB allocated:",
        "  *16.2 MiB*temporary*(cublas)", "*2.5 MiB*activations*Net", "*2.0 MiB*optimizer*up",
    ])  # fmt: skip
    assert max(len(line) for line in done.outlines if "report.xml" not in line) <= 80
    case = ElementTree.parse(project.path / "report.xml").find(".//testcase[@name='test_over']")
    assert case is not None
    failure = case.find("failure")
    assert failure is not None
    assert said in failure.attrib["message"]
    assert "alive at the peak" in str(failure.text)
