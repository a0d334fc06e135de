"""A real Ray cluster on this machine, whose processes are killed under its cell."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.engines import ray_local
from harness.engines.base import Event
from harness.engines.child import Limits
from harness.engines.ray_cluster import Cluster
from harness.engines.ray_core import RayEngine
from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell

pytest.importorskip("ray")
ROOT = Path(__file__).parents[2]
# First the node's Ray process is killed, then Ray's worker; the third attempt is left alone.
KILLS = """
tries = os.environ["HEADROOM_TRIES"]
with open(tries, "a") as file:
    file.write("x")
number, worker = os.path.getsize(tries), os.getppid()
if number < 3:
    stat = open(f"/proc/{worker}/stat").read()
    raylet = int(stat.rpartition(")")[2].split()[1])
    os.kill(raylet if number == 1 else worker, signal.SIGKILL)
    time.sleep(600)
"""


def homes() -> set[Path]:
    """Return the folders of clusters of this box."""
    return set(Path(tempfile.gettempdir()).glob(f"{ray_local.PREFIX}*"))


def test_a_cell_outlives_the_processes_of_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd_cells: Callable[..., list[Cell]]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HEADROOM_TRIES", str(tmp_path / "tries"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    [cell] = odd_cells(KILLS, "train.epochs=1")
    store, events, before = Store(tmp_path / "out"), list[Event](), homes()
    store.make_room([cell])
    with RayEngine(store, Cluster(), limits=Limits(back_off=0.1)) as engine:
        [device] = engine.devices
        assert (device.kind, device.places) == ("cpu", 1)
        [own] = homes() - before
        assert (own / ray_local.TOKEN).stat().st_mode & 0o777 == 0o600
        engine.run([cell], events.append)
    record = events[-1].record
    assert record is not None
    assert record.outcome == "ok", record.message
    # Who is the first to notice, and how Ray says it, differs from time to time.
    assert len(record.attempts) >= 2
    assert all(each.startswith("lost: ") for each in record.attempts)
    assert [event.put_off for event in events if event.put_off] == record.attempts
    assert "OMP_NUM_THREADS" not in record.environment.variables, "Ray sets it"
    assert not homes() - before
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if str(own) in line]
    assert not (home / ".ray").exists()
    assert not (store.folder / ".ray").exists()


def test_a_cluster_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Ray: "):
        RayEngine(Store(tmp_path / "out"), Cluster("127.0.0.1:1")).__enter__()


def test_clusters_of_runs_that_are_gone_are_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_local, "_parent", lambda: tmp_path)
    gone, mine = tmp_path / f"{ray_local.PREFIX}gone", ray_local.new_home()
    gone.mkdir()
    (gone / ray_local.OWNER).write_text("1 0.0")  # that number is another process's now
    environment = {**os.environ, ray_local.HOME: str(gone)}
    left = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
    other = ray_local.new_home()
    assert left.wait(10) is not None, "psutil has reaped it, so nobody knows its code"
    assert {mine, other} == homes_in(tmp_path)
    ray_local.end(mine)
    assert homes_in(tmp_path) == {other}


def homes_in(folder: Path) -> set[Path]:
    return set(folder.glob(f"{ray_local.PREFIX}*"))


def test_the_batch_script_asks_for_what_there_is() -> None:
    script = (ROOT / "docs" / "ray_slurm.sh").read_text()
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    from typer.main import get_command

    from harness.main import app

    ours = script[script.index("headroom run") :].split()
    options = {option for one in get_command(app).commands["run"].params for option in one.opts}  # type: ignore[attr-defined]
    assert {word for word in ours if word.startswith("--")} <= options
