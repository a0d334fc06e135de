"""The two places where a suite is forecast: two environments, two interpreters or two revisions."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness import __version__
from harness.comparing.child import Place
from harness.comparing.environment import conflicts, environment, pinned
from harness.comparing.interpreter import code_path
from harness.comparing.revision import Tree, top_of, tree_of
from harness.env import ROOT, git_state
from harness.errors import UserError
from harness.forecasting.cache import cache_folder

Pair = tuple[Place, Place]


def installed(suite: Path) -> Place:
    """Return this Python with what is installed."""
    return Place("what is installed", suite, Path(sys.executable), code_path(ROOT), _code_here())


def of_environments(suite: Path, before: Sequence[str], after: Sequence[str]) -> Pair:
    """Return two sets of versions; an empty one is what is installed.

    Raises:
        UserError: pip cannot install them.
    """
    first, second = (_with(suite, versions) if versions else installed(suite)
                     for versions in (before, after))  # fmt: skip
    return first, second


def of_interpreter(suite: Path, python: Path) -> Pair:
    """Return what is installed, and another environment that is there already."""
    other = Place(str(python), suite, python.absolute(), code_path(ROOT), _code_here())
    return installed(suite), other


@contextmanager
def of_revisions(suite: Path, revisions: Sequence[str], repository: Path | None) -> Iterator[Pair]:
    """Yield two revisions of headroom, or of a repository of plug-ins; one: it and what is here.

    Both sides are asked with the suite as it is now. One that lies in the repository of plug-ins
    is put at its place among the files of the revision, so that what lies beside it is theirs.

    Raises:
        UserError: there is no such repository or revision.
    """
    where = repository or ROOT
    with ExitStack() as stack:
        sides = [
            at_revision(suite, revision, stack.enter_context(tree_of(where, revision)), where)
            for revision in revisions
        ]
        if len(sides) == 1:
            sides.append(_working_tree(suite, where))
        yield sides[0], sides[1]


def _with(suite: Path, versions: Sequence[str]) -> Place:
    cache = cache_folder()
    if cache is None:
        raise UserError("there is no folder for environments; name one in $HEADROOM_CACHE")
    name = ", ".join(versions)
    print(f"looking for an environment with {name}", file=sys.stderr)
    python = environment(versions, cache / "environments")
    notes = [f"{name}: {line}" for line in conflicts(python)]
    return Place(name, suite, python, code_path(ROOT), _code_here(),
                 tuple(map(pinned, versions)), tuple(notes))  # fmt: skip


def at_revision(suite: Path, revision: str, tree: Tree, repository: Path) -> Place:
    """Return the files of a revision as a place; a suite of theirs is put among them."""
    name = f"revision {revision}"
    if tree.is_headroom:
        return Place(name, suite, Path(sys.executable), [tree.folder], tree.commit[:12])
    top = top_of(repository)
    inside = suite.resolve()
    if inside.is_relative_to(top):
        inside = tree.folder / inside.relative_to(top)
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(suite, inside)
    path = [tree.folder, *code_path(ROOT)]
    return Place(name, inside, Path(sys.executable), path, f"{top.name}: {tree.commit[:12]}")


def _working_tree(suite: Path, repository: Path) -> Place:
    top, name, python = top_of(repository), "the working tree", Path(sys.executable)
    if Tree(top, "").is_headroom:
        return Place(name, suite, python, [top], name)
    return Place(name, suite, python, [top, *code_path(ROOT)], f"{top.name}: {name}")


def _code_here() -> str:
    state = git_state()
    if state is None:
        return f"headroom {__version__}"
    return state.commit[:12] + ("+dirty" if state.dirty else "")
