"""The node's side of the Ray engine: what a node has, and one cell in a process of its own.

Ray's workers import this module, so Headroom is installed on every node. A worker holds no model:
it starts the cell's process as the local engine does, passes on what that reports, and ends it when
the run, this worker or the node's Ray process is gone.
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from harness.engines.base import End, Order, kernel_oom_kills
from harness.engines.child import Child, Limits
from harness.env import MEMORY_PACKAGES, VARIABLES, package_versions, source_hash
from harness.gpus import capability, installed

MARK = ".ray"  # a file of the run folder: a node that reads the run's mark there sees that folder
BEAT = 5.0  # seconds between two signs of life of a worker
PARENT = 0.5  # seconds until a worker notices that the node's Ray process is gone
SENT = 2**20  # bytes of a log's end that leave a node which does not see the run folder
OF_THE_NODE = "CUDA_VISIBLE_DEVICES"  # Ray sets it

Told = dict[str, Any]


def about_this_node(folder: str, mark: str) -> Told:
    """Return what a node has (memory in bytes), what it runs, and whether it sees the folder."""
    from harness.engines.here import host_memory, kind_of
    from harness.forecasting.cards import find_card

    kinds = [kind_of(gpu, capability(gpu.index)) for gpu in installed()]
    return {
        "host": socket.gethostname(),
        "cards": [[kind, find_card(kind).usable] for kind in kinds],
        "memory": host_memory(),
        "software": software(),
        "sees": sees(Path(folder), mark),
    }


def software() -> dict[str, str]:
    """Return what must be the same on every node for the records of a run to compare."""
    versions = package_versions()
    named = {name: versions[name] for name in MEMORY_PACKAGES if name in versions}
    return {"code of headroom": source_hash(), **named}


def sees(folder: Path, mark: str) -> bool:
    """Tell whether this node sees the run folder, and not another one of that name."""
    try:
        return (folder / MARK).read_text() == mark
    except OSError:
        return False


def run_here(asked: Mapping[str, Any]) -> Iterator[Told]:
    """Run a cell and yield what is to be told of it.

    Args:
        asked: `order` as JSON without descriptors, `record` and `log` as paths in its folder, the
            `mark` there, `limits`, `environment`, how many cells share the CPU (`sharing`), and the
            working directory `at`.

    Yields:
        `progress` as the cell reports it, `beat` while it says nothing, and last `end`, or `failed`
        in words; with `end` go the texts of `record` and `log` where the run folder is not here.
    """
    _end_with_parent()
    news: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
    stopping = threading.Event()
    work = threading.Thread(target=_attend, args=(asked, stopping, news.put), daemon=True)
    try:
        work.start()
        yield {"beat": True}  # it runs
        while True:
            try:
                told = news.get(timeout=BEAT)
            except queue.Empty:
                told = {"beat": True}
            if told is None:
                return
            yield told
    except KeyboardInterrupt:  # cancelled: whoever did it waits until the cell has ended
        stopping.set()
        work.join()
        raise
    except BaseException:  # Ray ends this worker, and the cell's process with it
        os._exit(1)


def _attend(asked: Mapping[str, Any], stopping: threading.Event, tell: Callable[..., None]) -> None:
    try:
        tell(_run(asked, stopping, tell))
    except Exception as error:  # a full disk, say
        tell({"failed": f"{type(error).__name__}: {error}"})
    tell(None)


def _run(asked: Mapping[str, Any], stopping: threading.Event, tell: Callable[..., None]) -> Told:
    """Run the cell's process to its end, in the run folder or in one of this node's."""
    began, kills = time.monotonic(), kernel_oom_kills()
    folder = Path(asked["order"]["folder"])
    at_home = sees(folder, asked["mark"])
    if not at_home:
        folder = _own_folder(asked["order"]["folder"])
        if asked["order"].get("export"):
            return {"failed": f"{socket.gethostname()} does not see the run folder: no --export"}
    with suppress(OSError):
        os.chdir(asked["at"])
    held_open = os.open(os.devnull, os.O_RDONLY)
    try:
        order = Order(**{**asked["order"], "folder": folder, "lock": held_open})
        child = Child(order, folder / asked["log"], _environment(asked))
    finally:
        os.close(held_open)
    code, limit = child.attend(
        Limits(**asked["limits"]), stopping, lambda news: tell({"progress": news})
    )
    end = End(
        code,
        time.monotonic() - began,
        stopping.is_set(),
        oom_kills=kernel_oom_kills() - kills,
        held=child.held,
        limit=limit,
    )
    return {"end": asdict(end), **({} if at_home else _to_send(folder, asked))}


def _environment(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return the cell's variables, as the local engine would have them on this node."""
    given = {"TOKENIZERS_PARALLELISM": "false", **asked["environment"]}
    for name in VARIABLES:  # Ray sets some by what a task asked for, such as OMP_NUM_THREADS
        if name not in given and name != OF_THE_NODE:
            os.environ.pop(name, None)
    if asked["sharing"] > 1 and "OMP_NUM_THREADS" not in given:
        cores = len(os.sched_getaffinity(0))
        given["OMP_NUM_THREADS"] = str(max(1, cores // asked["sharing"]))
    return given


def _own_folder(folder: str) -> Path:
    """Return where this node keeps checkpoints of a run whose folder it does not see.

    Raises:
        PermissionError: somebody else has made it.
    """
    name = hashlib.sha256(folder.encode()).hexdigest()[:12]
    own = Path(tempfile.gettempdir()) / f"headroom-{os.getuid()}-{name}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise PermissionError(f"{own} is not this user's")
    return own


def _to_send(folder: Path, asked: Mapping[str, Any]) -> Told:
    """Take the record and the log's end away from this node."""
    sent: Told = {}
    for name in ("record", "log"):
        file = folder / asked[name]
        with suppress(FileNotFoundError):
            sent[name] = file.read_bytes()[-SENT if name == "log" else 0 :].decode(errors="replace")
            file.unlink()
    return sent


@cache
def _end_with_parent() -> None:
    """End this worker when the node's Ray process does: another node may run its cell then.

    Ray's workers outlive that process while their run is there.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
