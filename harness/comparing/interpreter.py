"""Interpreters of this machine: what they import, and how a process of theirs is started."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.env import MEMORY_PACKAGES
from harness.errors import UserError
from harness.untrusted import said

# Run by the Python in question; the first of a name is the one that is imported.
LISTING = """
import json, platform, re
from importlib.metadata import distributions
found = {}
for each in distributions():
    name = re.sub(r"[-_.]+", "-", each.metadata["Name"] or "").lower()
    found.setdefault(name, each.version)
print(json.dumps({"python": platform.python_version(), **found}))
"""


def packages(python: str | Path, path: Sequence[Path] = ()) -> dict[str, str]:
    """Return Python's version and those of all packages that it imports, by name.

    Args:
        python: an interpreter.
        path: folders in front of its own, as `code_path` gives them.

    Raises:
        UserError: it does not run.
    """
    command = [str(python), "-P", "-c", LISTING]
    try:
        done = subprocess.run(command, env=surroundings(path), capture_output=True, text=True)
    except OSError as error:
        raise UserError(f"{python}: {said(error)}") from None
    if done.returncode:
        raise UserError(f"{python}: {last_line(done.stderr)}")
    listed: dict[str, str] = json.loads(done.stdout)
    return {name: listed[name] for name in sorted(listed, key=_memory_first)}


def code_path(root: Path) -> list[Path]:
    """Return what goes in front of an environment's own folders, so that it runs this code.

    Nothing where the code is installed as a package: it is found behind the environment, and in
    front of it everything that is installed beside it would be, too.
    """
    return [] if root in site_folders() else [root]


def surroundings(path: Sequence[Path]) -> dict[str, str]:
    """Return the variables for a process that looks into these folders first."""
    given = os.environ.get("PYTHONPATH")
    folders = [*map(str, path), *([given] if given else [])]
    # No __pycache__ beside a plug-in: nothing of the user's is touched.
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(folders)}


def last_line(text: str) -> str:
    """Return the line that says why a process failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error:")]
    return (told or lines or ["it said nothing"])[-1]


def site_folders() -> list[Path]:
    """Return the folders that this Python's packages are installed in."""
    folders = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:
        folders.append(site.getusersitepackages())
    return [Path(folder).resolve() for folder in folders if Path(folder).is_dir()]


def _memory_first(name: str) -> tuple[bool, str]:
    return name not in MEMORY_PACKAGES, name
