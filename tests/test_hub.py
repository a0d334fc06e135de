"""A hub that does not answer is told at once, not after 25 seconds of retries a file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny import build

SUITE = """\
name: far
model: {hub: org/none}
tasks: [rte]
methods: [lora]
"""


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def python(code: str, **environment: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
import time
from harness.errors import UserError
from harness.models.config import build_config
from harness.models.files import model_folder
from harness.models.spec import ModelSpec
from harness.tasks import get_task
from harness.tasks.base import DataRequest
import datasets, transformers  # their imports are not what is timed
for ask in (lambda: model_folder(ModelSpec(hub="org/none")),
            lambda: build_config(ModelSpec(hub="org/none")),
            lambda: get_task("rte").load(DataRequest())):
    began = time.monotonic()
    try:
        ask()
    except UserError as error:
        print(round(time.monotonic() - began, 1), error)
"""


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_each_who_asks_is_told_within_seconds(tmp_path: Path, how: str) -> None:
    with silent_server() as silent:
        endpoint = silent if how == "is silent" else "http://127.0.0.1:9"
        said = python(ASK, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path)).splitlines()
    assert len(said) == 3
    for line in said:
        seconds, _, message = line.partition(" ")
        assert float(seconds) < 8, "of 25, with what is imported on the way"
        assert f"{endpoint} does not answer within 3 s" in message
        assert "and it is not in the cache" in message


def test_what_is_in_the_cache_is_found(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--mine"
    snapshot = repository / "snapshots" / "c0ffee"
    build().save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c0ffee")
    code = (
        "from harness.models.config import build_config\n"
        "from harness.models.files import model_folder\n"
        "from harness.models.spec import ModelSpec\n"
        "spec = ModelSpec(hub='org/mine')\n"
        "print(model_folder(spec), build_config(spec).hidden_size)"
    )
    said = python(code, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert said.split() == [str(snapshot), "32"]


def test_a_run_ends_before_its_first_cell(tmp_path: Path) -> None:
    (tmp_path / "far.yaml").write_text(SUITE)
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    command = [sys.executable, "-m", "harness.run", str(tmp_path / "far.yaml"), "--out",
               str(tmp_path / "out")]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False,
        env={**environment, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
    )  # fmt: skip
    assert time.monotonic() - began < 10
    assert done.returncode == 2
    assert "error: model.hub = org/none: http://127.0.0.1:9 does not answer" in done.stderr
    assert not (tmp_path / "out").exists()
