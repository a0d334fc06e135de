"""Write the lock of tox and CI: the exact versions of everything in this environment.

`tox -e lock` installs the newest releases that pyproject's ranges allow and then runs this. What a
platform adds to a version (`+cpu`) is left out: the same release is meant on every machine.
"""

from importlib.metadata import distributions
from pathlib import Path

OURS = {"headroom-bench", "pip", "setuptools", "wheel"}
HEADER = """\
# Exact versions for tox and CI, written by `tox -e lock`; users get pyproject's ranges.
"""

versions = {
    dist.metadata["Name"].lower().replace("_", "-"): dist.version.partition("+")[0]
    for dist in distributions()
}
lines = [f"{name}=={version}\n" for name, version in sorted(versions.items()) if name not in OURS]
lock = Path(__file__).with_name("lock.txt")
lock.write_text(HEADER + "".join(lines), encoding="utf-8")
print(f"{lock}: {len(lines)} packages")
