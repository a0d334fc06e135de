"""The lock of tox and CI: exact versions of all that pyproject asks for, and what has moved."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "lock.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]


def locked() -> dict[str, str]:
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): rest for name, _, rest in (x.partition("==") for x in lines)}


@pytest.mark.parametrize("line", ASKED)
def test_the_lock_has_an_exact_version_within_every_range(line: str) -> None:
    wanted = Requirement(line)
    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)])


def test_what_the_locked_packages_need_is_locked_too() -> None:
    missing = set()
    for name, locked_version in locked().items():
        try:
            if version(name).partition("+")[0] != locked_version:
                continue  # `tox -e latest`: the lock does not speak of this one
        except PackageNotFoundError:
            continue
        for needed in map(Requirement, requires(name) or []):
            here = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if here and canonicalize_name(needed.name) not in locked():
                missing.add(f"{name} needs {needed.name}")
    assert missing <= {"torch needs setuptools"}, "of the installers the environment decides"


def test_what_moved_is_printed(tmp_path: Path) -> None:
    (tmp_path / "lock.py").write_text((ROOT / ".ci" / "lock.py").read_text())
    (tmp_path / "lock.txt").write_text("# head\nnumpy==1.0\npytest==" + version("pytest") + "\n")
    command = [sys.executable, "lock.py", "--moved"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert f"numpy: 1.0 -> {version('numpy')}" in lines
    assert not any(line.startswith("pytest:") for line in lines)
    assert lines[-1].endswith("packages moved against lock.txt")
    assert (tmp_path / "lock.txt").read_text().startswith("# head"), "nothing is written"
