"""Methods, tasks and families from outside the repository: run end to end, and when broken."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import pytest

from harness.store import Store

ROOT = Path(__file__).resolve().parents[1]
LETTERS = ROOT / "tests" / "data" / "plugins" / "letters.py"
SUITE = """\
name: outside
model: {config: tiny-bert}
tasks: [TASK]
methods: [METHODS]
train: {batch_size: 8, epochs: 2, max_length: 16, lr: 5.0e-3}
"""


def snippet() -> str:
    """Return the method that the documentation shows, as a reader copies it."""
    text = (ROOT / "docs" / "methods.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    [code] = [block for block in blocks if "class BiasOnly" in block]
    return str(code)


def headroom(
    folder: Path, *arguments: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    work = folder / "work"  # not the suite's folder: `python -m` has its own on the path
    work.mkdir(exist_ok=True)
    return commands.headroom(work, *arguments, cache=folder / "cache", path=[path] if path else [])


def suite(folder: Path, task: str, *methods: str) -> str:
    file = folder / "outside.yaml"
    file.write_text(SUITE.replace("TASK", task).replace("METHODS", ", ".join(methods)))
    return str(file)


NORMS = '''
from typing import ClassVar

from harness.analyses.base import Analysis, Found, Study


class Norms(Analysis):
    """How long the trained tensors are."""

    name: ClassVar[str] = "norms"
    power: int = 2

    def begin(self):
        return NormsStudy(self.power)


class NormsStudy(Study):
    def __init__(self, power):
        self.power = power

    def conclude(self, subject):
        named = dict(subject.model.named_parameters())
        total = sum(float((named[n] ** self.power).sum()) for n in subject.trained)
        return Found({"norm": total})


ANALYSES = {"norms": Norms}
'''


def test_an_analysis_of_others_is_asked_for_as_ours_are(tmp_path: Path) -> None:
    """One file: the suite, the run, the record and the report take it as one of their own."""
    (tmp_path / "norms.py").write_text(NORMS)
    file = suite(tmp_path, "acceptability", "lora")
    asked = [
        "tasks=[{name: acceptability, train_rows: 16, evaluation_rows: 8}]", "--plugin", "norms",
    ]  # fmt: skip
    done = headroom(tmp_path, "run", file, *asked, "analyses={norms: {power: 2}}")
    assert done.returncode == 0, done.stderr
    [record] = Store(tmp_path / "work" / "runs" / "outside").records()
    assert record.analyses["norms"].options == {"power": 2}
    assert record.analyses["norms"].headline["norm"] > 0
    assert record.environment.plugins["analysis norms"].startswith("norms (")
    report = tmp_path / "work" / "runs" / "outside" / "report.md"
    assert "nalysis: norms" in report.read_text()
    wrong = headroom(tmp_path, "run", file, *asked, "analyses={norms: {powers: 2}}")
    assert wrong.returncode == 2
    assert "analyses.norms.powers" in wrong.stderr
    assert "'power'" in wrong.stderr


def test_a_family_of_others_runs_as_ours_do(tmp_path: Path) -> None:
    shutil.copy(LETTERS, tmp_path)
    file = suite(tmp_path, "first_letters", "{lora: {r: 4}}", "full")
    done = headroom(
        tmp_path,
        "run",
        file,
        "--plugin",
        "letters",
        "--out",
        str(tmp_path / "out"),
        "train.epochs=6",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    lora, full = Store(tmp_path / "out").records()
    for record in (lora, full):
        assert record.outcome == "ok", record.log_tail
        assert record.forecast is not None
        assert record.memory is not None
        assert record.forecast.stages, record.forecast.error
        stage = record.forecast.stages["training"]
        assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
        assert record.environment.plugins == {
            "task first_letters": f"letters ({tmp_path / 'letters.py'})",
            "family multi_label": f"letters ({tmp_path / 'letters.py'})",
        }
    assert full.main_score is not None
    assert full.main_score > 0.75, "half would be chance"
    assert "| full" in (tmp_path / "out" / "report.md").read_text()
    shape = "tasks=[{shape: {family: multi_label, length: 16, num_labels: 4}}]"
    done = headroom(tmp_path, "forecast", file, "--plugin", "letters", shape)
    assert done.returncode == 0, done.stderr
    assert "multi_label-16" in done.stdout


def test_the_documented_method_runs_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "bias_only.py").write_text(snippet())
    task = "{name: acceptability, train_rows: 32, evaluation_rows: 16}"
    file = suite(tmp_path, task, "bias-only", "{bias-only: {layers_from: 2}, label: upper}",
                 "{safe: {over: bias-only, tau: 0.5, max_warmup: 1, t_f: {epochs: 0}}}",
                 "bitfit")  # fmt: skip
    done = headroom(tmp_path, "run", file, "--plugin", "bias_only", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr + done.stdout
    ours, upper, safe, bitfit = Store(tmp_path / "out").records()
    for record in (ours, upper, safe, bitfit):
        assert record.outcome == "ok", record.log_tail
        asked = {"method bias-only"} if record is not bitfit else set()
        assert set(record.environment.plugins) == asked
    assert ours.parameters == bitfit.parameters
    assert ours.scores == bitfit.scores
    assert upper.parameters is not None
    assert ours.parameters is not None
    assert 2 * upper.parameters.adapter_trainable == ours.parameters.adapter_trainable


def test_the_documented_method_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract import Case, check

    from methods import METHODS, get_method

    (tmp_path / "documented_bias_only.py").write_text(snippet())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "bias-only", "documented_bias_only:BiasOnly")
    check(get_method("bias-only")(), Case())


def distribution(folder: Path, name: str, points: str, code: str) -> None:
    """Install a package as pip leaves it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


def test_installed_packages_and_one_that_is_broken(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    distribution(site, "good", "[headroom.methods]\nbias-only = good:BiasOnly\n", snippet())
    distribution(
        site, "bad", "[headroom.methods]\nworse = bad:Worse\nlora = bad:Other\nnone = bad:x\n"
        "[headroom.tasks]\nodd = bad:Odd\n", "x = 1\nimport nothing_like_it\n"
    )  # fmt: skip
    listed = headroom(tmp_path, "ls", "methods", path=site)
    assert listed.returncode == 0, listed.stderr
    lines = {line.split()[0]: line for line in listed.stdout.splitlines() if "lora  " not in line}
    assert "(plug-in good 1.0)" in lines["bias-only"]
    assert (
        "broken: method 'worse' of plug-in bad 1.0 (bad:Worse): ModuleNotFoundError"
        in lines["worse"]
    )
    assert "its name is taken  (plug-in bad 1.0)" in listed.stdout
    assert "broken: task 'odd'" in headroom(tmp_path, "ls", "tasks", path=site).stdout
    assert headroom(tmp_path, "schema", path=site).returncode == 0
    task = "{name: acceptability, train_rows: 16, evaluation_rows: 8}"
    file = suite(tmp_path, task, "bias-only", "lora")
    done = headroom(
        tmp_path, "run", file, "--out", str(tmp_path / "out"), "train.epochs=1", path=site
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert [r.outcome for r in Store(tmp_path / "out").records()] == ["ok", "ok"]
    wrong = headroom(tmp_path, "run", suite(tmp_path, task, "worse"), "--dry-run", path=site)
    assert wrong.returncode == 2
    assert "outside.yaml:4: method 'worse' of plug-in bad 1.0" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("absent", "", "no such module, neither"),
        ("empty", "x = 1\n", "has none of METHODS, TASKS, FAMILIES, ANALYSES"),
        ("failing", "raise RuntimeError('no card')\n", "RuntimeError: no card"),
        ("missing", "import nothing_like_it\n", "No module named 'nothing_like_it'"),
        ("wrong", "METHODS = {'mine': 3}\n", "method 'mine': 3 is no subclass"),
        ("listed", "METHODS = [3]\n", "METHODS of"),
        ("nameless", "from harness.tasks.families.classification import Classification\n"
         "class Other(Classification): pass\nFAMILIES = {'other': Other}\n",
         "family 'other': Other.name is 'classification'"),
        ("half", "from harness.tasks.families.base import Family\n"
         "class Half(Family):\n    name = 'half'\nFAMILIES = {'half': Half}\n",
         "family 'half': Half has no hollow_batch, auto_class"),
        ("thief", "from methods.full import Full\nMETHODS = {'lora': Full}\n",
         "method 'lora' is there already, from Headroom itself"),
        ("json", "METHODS = {}\n", "another module has this name; rename"),
    ],
)  # fmt: skip
def test_a_module_that_is_none_is_refused(tmp_path: Path, name: str, code: str, said: str) -> None:
    if code:
        (tmp_path / f"{name}.py").write_text(code)
    done = headroom(tmp_path, "run", suite(tmp_path, "acceptability", "full"), "--plugin", name)
    assert done.returncode == 2
    assert f"--plugin {name}: " in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_changed_plugin_has_no_old_forecasts(tmp_path: Path) -> None:
    """Nor one that imports, when it attaches, a module that has changed."""
    file = suite(tmp_path, "{shape: {family: classification, length: 16}}", "bias-only")
    lazy = snippet().replace("        names =", "        import lazy_helper\n        names =")
    assert lazy != snippet()
    entries = []
    for text, helper in ((lazy, ""), (lazy, ""), (lazy + "# new\n", ""), (lazy + "# new\n", "x=1")):
        (tmp_path / "bias_only.py").write_text(text)
        (tmp_path / "lazy_helper.py").write_text(helper)
        done = headroom(tmp_path, "forecast", file, "--plugin", "bias_only")
        assert done.returncode == 0, done.stderr
        entries.append(len(list((tmp_path / "cache").glob("*.json"))))
    assert entries == [1, 1, 2, 3]


def test_a_module_in_a_package_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "ours" / "deep").mkdir(parents=True)
    for folder in ("ours", "ours/deep"):
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "ours" / "deep" / "biases.py").write_text(snippet())
    file = suite(tmp_path, "{shape: {family: classification, length: 16}}", "bias-only")
    done = headroom(tmp_path, "forecast", file, "--plugin", "ours.deep.biases")
    assert done.returncode == 0, done.stderr
    assert "bias-only" in done.stdout
    absent = headroom(tmp_path, "forecast", file, "--plugin", "ours.deep.other")
    assert absent.returncode == 2
    assert "ours.deep.other: no such module, neither in" in absent.stderr


BROKEN_TASKS = """
from harness.tasks.base import Task
class Unmade(Task):
    def load(self, request): pass
class Silent(Unmade):
    def __init__(self, name): self.name = name
class Lost(Silent):
    description, num_labels, family, metrics = "lost", 2, "clasification", ("accuracy",)
TASKS = {"unmade": Unmade, "silent": Silent, "lost": Lost}
"""


def test_broken_tasks_are_told_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tasks_of_mine.py").write_text(BROKEN_TASKS)
    with_plugin = ("--plugin", "tasks_of_mine")
    listed = headroom(tmp_path, "ls", "tasks", "--folder", str(tmp_path), *with_plugin)
    assert listed.returncode == 0, listed.stderr
    said = {
        "unmade": "TypeError: Unmade() takes no arguments",
        "silent": "has no description, num_labels, family, metrics",
        "lost": "unknown family 'clasification'; did you mean 'classification'",
    }
    for name, text in said.items():
        [line] = [line for line in listed.stdout.splitlines() if line.split()[0] == name]
        assert "broken: " in line
        assert text in line
        done = headroom(tmp_path, "forecast", suite(tmp_path, name, "full"), *with_plugin)
        assert done.returncode == 2
        assert text in done.stderr
        assert "Traceback" not in done.stderr


def test_two_packages_with_one_name(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("first", "second"):
        distribution(site, name, f"[headroom.methods]\nbias-only = {name}:BiasOnly\n", snippet())
    file = suite(tmp_path, "acceptability", "bias-only")
    done = headroom(tmp_path, "run", file, "--dry-run", path=site)
    assert done.returncode == 2
    assert "several packages bring this name" in done.stderr
    assert "first 1.0" in done.stderr
    assert "second 1.0" in done.stderr


def test_a_checkpoint_knows_its_plugins_before_all_of_them_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import plugins

    (tmp_path / "early.py").write_text(snippet())
    (tmp_path / "late_helper.py").write_text("")
    registry = plugins.REGISTRIES["METHODS"]
    monkeypatch.setattr(registry, "used", {})
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(plugins, "_loaded", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins.load_plugins(["early"], tmp_path)
    registry.get("bias-only")
    before = plugins.fingerprint()
    assert len(before) == 2
    __import__("late_helper")
    assert plugins.fingerprint() == before
    assert plugins.in_use() == {"method bias-only": f"early ({tmp_path / 'early.py'})"}
