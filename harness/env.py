"""What a number depends on beside the code: versions, hardware, git state, settings."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.provenance import Environment, GitState, Gpu

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "datasets", "fvcore", "numpy", "tokenizers",
)  # fmt: skip
# The ones that decide over memory, so that a forecast or a budget names them.
MEMORY_PACKAGES = ("torch", "transformers", "peft")
# Where the packages harness and methods lie.
ROOT = Path(__file__).resolve().parent.parent
VARIABLES = (
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "HF_HUB_OFFLINE",
)


def describe() -> Environment:
    """Return versions, hardware, allocator settings and git state of this process."""
    return Environment(
        python=platform.python_version(),
        packages=package_versions(),
        platform=platform.platform(),
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        host=hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12],
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        gpu=_gpu(),
        git=git_state(),
    )


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the libraries that move the numbers."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _gpu() -> Gpu | None:
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return Gpu(
        name=properties.name,
        memory=properties.total_memory,
        capability=f"{properties.major}.{properties.minor}",
        count=torch.cuda.device_count(),
        cuda=torch.version.cuda,
    )


@cache
def source_hash() -> str:
    """Hash every Python file of the packages: a changed method has no old forecasts."""
    digest = hashlib.sha256()
    for file in sorted((*ROOT.glob("harness/**/*.py"), *ROOT.glob("methods/**/*.py"))):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def git_state() -> GitState | None:
    """Return commit and dirty flag of the checkout that this code runs from, if it is one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != ROOT:
            return None
        dirty = bool(git("status", "--porcelain"))
        return GitState(commit=git("rev-parse", "HEAD"), dirty=dirty)
    except (OSError, subprocess.SubprocessError):
        return None
