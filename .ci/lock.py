"""The lock of tox and CI: the exact versions of everything in an environment.

`tox -e lock` installs the newest releases that pyproject's ranges allow and has this write them.
`tox -e latest` installs the same, and has `--moved` print what is newer than the lock. What a
platform adds to a version (`+cpu`) is left out: the same release is meant on every machine.
"""

import sys
from importlib.metadata import distributions
from pathlib import Path

OURS = {"headroom-bench", "pip", "setuptools", "wheel"}
LOCK = Path(__file__).with_name("lock.txt")
HEADER = """\
# Exact versions for tox and CI, written by `tox -e lock`; users get pyproject's ranges.
"""


def installed() -> dict[str, str]:
    """Return the version of every package here but our own and the installers."""
    versions = {
        dist.metadata["Name"].lower().replace("_", "-"): dist.version.partition("+")[0]
        for dist in distributions()
    }
    return {name: versions[name] for name in sorted(versions) if name not in OURS}


def locked() -> dict[str, str]:
    """Return the versions that the lock names."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line and line[0] != "#")
    return {name: version for name, _, version in pairs}


def write() -> None:
    """Write the lock."""
    lines = [f"{name}=={version}\n" for name, version in installed().items()]
    LOCK.write_text(HEADER + "".join(lines), encoding="utf-8")
    print(f"{LOCK}: {len(lines)} packages")


def moved() -> None:
    """Print every package that is here in another version than the lock's, or not in it."""
    before, now = locked(), installed()
    changes = [f"{n}: {before.get(n, 'not locked')} -> {now[n]}" for n in now
               if now[n] != before.get(n)]  # fmt: skip
    print(*changes, f"{len(changes)} of {len(now)} packages moved against {LOCK.name}", sep="\n")


if __name__ == "__main__":
    moved() if sys.argv[1:] == ["--moved"] else write()
