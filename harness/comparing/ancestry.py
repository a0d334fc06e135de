"""What git knows of a checkout's past: which commits there are, and files as they were."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.errors import UserError


class NoBase(UserError):
    """There is no commit to compare with, and why."""


def top_or_none(folder: Path) -> Path | None:
    """Return the top folder of the checkout that a folder is in; None: it is in none."""
    found = _asked(folder, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


def common_commit(top: Path, revision: str) -> str:
    """Return the newest commit that HEAD and a revision have in common.

    Raises:
        NoBase: there is no such revision, or nothing in common.
    """
    if _asked(top, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}") is None:
        raise NoBase(f"{top} has no revision {revision}{_shallow(top)}")
    found = _asked(top, "merge-base", "HEAD", revision)
    if not found:
        raise NoBase(f"HEAD and {revision} have no commit in common{_shallow(top)}")
    return found


def unknown(file: Path, revision: str) -> str | None:
    """Say why nothing of a file's past can be compared with at a revision; None: it can."""
    top = top_or_none(file.resolve().parent)
    if top is None:
        return f"{file} is in no git repository"
    try:
        common_commit(top, revision)
    except NoBase as error:
        return str(error)
    return None


def last_change(top: Path, file: Path) -> str | None:
    """Return the commit of the main line of HEAD that last touched a file; None: none did."""
    command = ("log", "-1", "--first-parent", "--format=%H", "HEAD", "--", str(file))
    return _asked(top, *command) or None


def parent(top: Path, commit: str) -> str | None:
    """Return a commit's first parent; None: it is the first commit.

    Raises:
        NoBase: its parent is not in this clone.
    """
    found = _asked(top, "rev-parse", "--verify", "--quiet", f"{commit}^1")
    shallow = _shallow(top)
    if not found and shallow:
        raise NoBase(f"what was before {commit[:12]} is not here{shallow}")
    return found


def is_changed(top: Path) -> bool:
    """Tell whether files that git knows are other ones than HEAD's."""
    return _asked(top, "diff", "--quiet", "HEAD", "--") is None


def file_at(top: Path, commit: str, file: Path) -> bytes | None:
    """Return what a file held at a commit; None: it was not there."""
    done = _git(top, "show", f"{commit}:{file.resolve().relative_to(top.resolve()).as_posix()}")
    return done.stdout if done.returncode == 0 else None


def head(top: Path) -> str:
    """Return HEAD's commit.

    Raises:
        NoBase: nothing is committed.
    """
    found = _asked(top, "rev-parse", "--verify", "--quiet", "HEAD")
    if not found:
        raise NoBase(f"nothing is committed in {top}")
    return found


def _shallow(top: Path) -> str:
    if _asked(top, "rev-parse", "--is-shallow-repository") != "true":
        return ""
    return (
        "; the clone is shallow: fetch its past (git fetch --unshallow; in actions/checkout "
        "fetch-depth: 0)"
    )


def _asked(folder: Path, *arguments: str) -> str | None:
    """Return what git says; None where it fails."""
    done = _git(folder, *arguments)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True)
    except OSError as error:
        raise NoBase(f"git: {error.strerror}") from None
