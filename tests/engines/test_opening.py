"""What is asked of an engine that does not have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.engines import opening
from harness.engines.child import Limits
from harness.engines.opening import Wanted, opened
from harness.errors import UserError
from harness.provenance import Invocation
from harness.store import Store


def refused(tmp_path: Path, engine: str, **asked: Any) -> str:
    """Return what opening this engine says."""
    wanted = Wanted(300.0, None, Invocation(command="run"), Limits(), **asked)
    with pytest.raises(UserError) as error, opened(engine, Store(tmp_path), -1, wanted):
        pass
    return str(error.value)


def test_what_an_engine_does_not_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: name)
    assert "--engine ray" in refused(tmp_path, "local", address="auto")
    assert "--engine ray" in refused(tmp_path, "local", labels=("zone=east",))
    assert "HOST:PORT" in refused(tmp_path, "ray", address="ray://head:10001")
    assert "with --address give --label" in refused(tmp_path, "ray", address="auto", gpus="0")
    assert "--label zone: give KEY=VALUE" in refused(
        tmp_path, "ray", address="auto", labels=("zone",)
    )
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    assert "pip install 'headroom-bench[ray]'" in refused(tmp_path, "ray")
