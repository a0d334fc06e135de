"""The connection to Ray's driver, which runs beside this process: orders go there, news come."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.engines import ray_local
from harness.engines.child import python_path

LEAVING = 15.0  # seconds that the driver may take to leave its cluster


class Link:
    """Ray's driver as a process: `send` it orders, read `news`; None there says that it has ended.

    Args:
        asked: `address` of a cluster, or None for one of this box alone with `gpus` by their
            numbers and `jobs` cells on each; the run's `folder`, and its `mark` there.
        log: where the driver and Ray print.
    """

    def __init__(self, asked: dict[str, Any], log: Path) -> None:
        self.home = ray_local.new_home() if asked["address"] is None else None
        self.news: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        heard, answers = os.pipe()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.engines.ray_driver"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": python_path(), **self._environment(asked)},
                pass_fds=(answers,),
                start_new_session=True,
            )
        os.close(answers)
        if self.home is not None:
            (self.home / ray_local.DRIVER).write_text(str(self._process.pid))
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()
        self.send({**asked, "home": self.home and str(self.home), "answers": answers})

    def send(self, order: dict[str, Any]) -> None:
        """Give an order; one that comes too late is answered by the end of the news."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """End the driver with all that it started; of a cluster elsewhere, this run's tasks."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self.home is not None:
            ray_local.end(self.home)

    def _environment(self, asked: dict[str, Any]) -> dict[str, str]:
        if self.home is None:
            return {}
        devices = {"CUDA_VISIBLE_DEVICES": ",".join(asked["gpus"])} if asked["gpus"] else {}
        return {**devices, **ray_local.environment(self.home)}

    def _listen(self, heard: int) -> None:
        with os.fdopen(heard, "rb") as stream:
            for line in stream:
                with suppress(ValueError):  # the last line of a driver that was killed
                    self.news.put(json.loads(line))
        self.news.put(None)
