"""A second environment: the packages that are here, with other versions of some in front of them.

It is a virtual environment of its own with nothing in it but what pip has to change; all else is
found behind it, where it is installed already. So it is made in seconds, needs no second torch,
and nothing outside of its folder is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from harness.comparing.interpreter import last_line, packages, site_folders
from harness.env import MEMORY_PACKAGES
from harness.errors import UserError

PINNED = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*==\s*([A-Za-z0-9][\w.+!-]*)")
# Where else pip would put what it installs.
DIVERTING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PYTHONPATH", "PYTHONHOME")
BEHIND = "headroom_behind.pth"
LEFT = "conflicts.txt"
CONFLICT = re.compile(r"^(\S+ \S+ requires .+, but you have .+)$", re.M)


def pinned(requirement: str) -> tuple[str, str]:
    """Return name and version of a requirement.

    Raises:
        UserError: it is anything else than NAME==VERSION.
    """
    match = PINNED.fullmatch(requirement.strip())
    if match is None:
        raise UserError(f"{requirement!r}: expected NAME==VERSION, such as transformers==5.21.0")
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


def environment(
    requirements: Sequence[str], cache: Path, behind: Sequence[Path] | None = None
) -> Path:
    """Return the Python of an environment with these versions, making it where there is none.

    What is installed stays what it is unless a requirement needs another version of it; torch,
    transformers and peft stay in any case.

    Args:
        requirements: NAME==VERSION each.
        cache: folder of environments, each by a hash of what it is made of.
        behind: folders with what is installed; None: this Python's.

    Raises:
        UserError: pip cannot do it, and why.
    """
    asked = dict(map(pinned, requirements))
    if len(asked) < len(requirements):
        raise UserError(f"{', '.join(requirements)}: one version of each package")
    folders = list(site_folders() if behind is None else behind)
    key = _key(asked, folders)
    folder = cache / key
    if not (folder / "bin" / "python").exists():
        draft = cache / f"{key}.{os.getpid()}"
        try:
            _make(draft, asked, folders)
            if not (folder / "bin" / "python").exists():  # nobody else made it meanwhile
                shutil.rmtree(folder, ignore_errors=True)
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder / "bin" / "python"


def conflicts(python: Path) -> tuple[str, ...]:
    """Return what pip says does not go together in an environment of ours."""
    file = python.parent.parent / LEFT
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else ()


def _has_pip() -> bool:
    """Tell whether this Python has pip, without looking for the module.

    Where setuptools is, that alone makes it hide its distutils for the rest of the process.
    """
    try:
        distribution("pip")
    except PackageNotFoundError:
        return False
    return True


def _make(folder: Path, asked: Mapping[str, str], behind: Sequence[Path]) -> None:
    has_pip = _has_pip()
    try:
        venv.EnvBuilder(with_pip=not has_pip, symlinks=True).create(folder)
    except subprocess.CalledProcessError:
        raise UserError("no environment: this Python has neither pip nor ensurepip") from None
    python = folder / "bin" / "python"
    (_purelib(python) / BEHIND).write_text(
        "".join(f"import site; site.addsitedir({str(each)!r})\n" for each in behind), "utf-8"
    )
    held = {name: version for name, version in packages(python).items()
            if name in MEMORY_PACKAGES and name not in asked}  # fmt: skip
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in held.items()), "utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python] if has_pip else [python, "-m", "pip"]
    options = ["--no-input", "--no-user", "--disable-pip-version-check"]
    wanted = [f"{name}=={version}" for name, version in asked.items()]
    done = subprocess.run(
        [str(word) for word in (*pip, "install", *options, "--constraint", constraints, *wanted)],
        env={name: value for name, value in os.environ.items() if name not in DIVERTING},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        why = _why(done.stdout + done.stderr)
        raise UserError(f"pip cannot install {', '.join(wanted)}: {why}")
    (folder / LEFT).write_text("\n".join(CONFLICT.findall(done.stderr)), "utf-8")


def _purelib(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([python, "-c", code], text=True).strip())


def _why(told: str) -> str:
    """Return what pip's complaint says, on one line."""
    errors = re.findall(r"^ERROR: (?!ResolutionImpossible)(.+)$", told, re.M)
    cause = re.findall(r"^    (\S.* (?:requested|depends on) .+)$", told, re.M)
    offline = ["the package index was not reached"] if "Retrying (" in told else []
    return "; ".join(each.rstrip(".") for each in [*errors[-1:], *cause, *offline]) or last_line(
        told
    )


def _key(asked: Mapping[str, str], behind: Sequence[Path]) -> str:
    facts = [sys.base_prefix, sys.version, sorted(asked.items()), list(map(str, behind)),
             packages(sys.executable)]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
