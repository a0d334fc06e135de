"""A forecast imports what it needs; what is put off is the real thing as soon as it is wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from asked import request

from harness.simulation.fake import fake_run

HEAVY = ("torch._inductor", "torch.distributed.tensor", "torch.distributed.checkpoint", "scipy",
         "torch.onnx", "torch._dynamo.utils")  # fmt: skip


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forecasters_imports_leave_the_compiler_out() -> None:
    loaded = python(
        "import sys\nfrom harness.forecasting.pool import preload\npreload(['llama', 'bert'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
        "import torch.distributed\nprint(torch.distributed.is_available())"
    )
    assert loaded.splitlines()[0] == "[]"
    assert loaded.splitlines()[1] == "True", "as it was before"


def test_what_was_put_off_is_there_when_it_is_wanted() -> None:
    done = python(
        "import sys\nfrom harness.forecasting.pool import preload\npreload(['llama'])\n"
        "from harness.forecasting.spare import Late\nimport torch\n"
        "late = sys.modules['torch._dynamo']\nassert isinstance(late, Late)\n"
        "from torch.fx.experimental import symbolic_shapes as shapes\n"
        "from torch.fx.experimental.symbolic_shapes import sym_eq, ShapeEnv\n"
        "assert sym_eq((1, 2), (1, 2)) and not sym_eq((1,), (1, 2))\n"
        "assert not isinstance(sys.modules[ShapeEnv.__module__], Late)\n"
        "from scipy.optimize import linear_sum_assignment\n"
        "import numpy\nassert linear_sum_assignment(numpy.eye(2))[1].tolist() == [1, 0]\n"
        "assert late.utils and not isinstance(sys.modules['torch._dynamo'], Late)\n"
        "double = torch.compile(lambda x: 2 * x, backend='eager')\n"
        "assert double(torch.ones(2)).sum() == 4\nprint('works')"
    )
    assert done.strip() == "works"


def test_a_run_imports_its_libraries_whole() -> None:
    loaded = python(
        "import sys\nfrom harness.forecasting.pool import preload\npreload(whole=True)\n"
        "from harness.forecasting.spare import LATE, Late\n"
        "print([n for n in LATE if isinstance(sys.modules.get(n), Late)])\n"
        "import bitsandbytes, peft\nprint(bitsandbytes.nn.Linear4bit.__name__)\n"
        "print('torch._inductor.compile_fx' in sys.modules)"
    )
    assert loaded.splitlines() == ["['bitsandbytes']", "Linear4bit", "False"]


def test_no_forecast_starts_cuda() -> None:
    """bitsandbytes asks for the GPU's capability when it is imported; here that is an error."""
    done = python(
        "import torch\nfrom harness.forecasting.pool import preload, run_forked\n"
        "def started(*args):\n    raise SystemExit('CUDA')\n"
        "torch.cuda.is_available, torch.cuda.device_count = (lambda: True), (lambda: 1)\n"
        "torch.cuda.get_device_capability = torch.cuda._lazy_init = started\n"
        "def loaded():\n    import bitsandbytes.cextension as c\n    return type(c.lib).__name__\n"
        "preload(whole=True)\nprint([answer for _, answer in run_forked([(loaded, ())], 1)])\n"
        "preload()\nprint([answer for _, answer in run_forked([(loaded, ())], 1)])"
    )
    assert done.splitlines() == 2 * ["['BNBNativeLibrary']"]


def test_torchao_is_not_imported_where_it_is_installed(tmp_path: Path) -> None:
    """transformers imports it wherever it is; it starts CUDA, and takes a second."""
    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").write_text("raise SystemExit('torchao')")
    (tmp_path / "torchao-0.18.0.dist-info").mkdir()
    (tmp_path / "torchao-0.18.0.dist-info" / "METADATA").write_text(
        "Name: torchao\nVersion: 0.18.0"
    )
    done = python(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from harness.forecasting.pool import preload\npreload({'llama'})\n"
        "print('torchao' in sys.modules)"
    )
    assert done.strip() == "False"


def test_a_step_on_hollow_tensors_asks_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fork of a process that has started CUDA torch's question before a step is an error."""
    from torch.optim import Optimizer

    from harness.simulation.untouched import ASKS

    def asked(_: Optimizer) -> None:
        raise RuntimeError("CUDA")

    there = [name for name in ASKS if hasattr(Optimizer, name)]
    assert there, "torch asks by another name now"
    for name in there:
        monkeypatch.setattr(Optimizer, name, asked)
    assert fake_run(request("tiny-bert", "full", {})).report.peak
