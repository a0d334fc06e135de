"""The code that a change is judged against where versions are others than the file's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.budgets.drift import Base
from harness.budgets.figures import Figures, of_entries, software
from harness.budgets.file import Budget, parsed
from harness.comparing.ancestry import (
    NoBase,
    common_commit,
    file_at,
    head,
    is_changed,
    last_change,
    parent,
    top_or_none,
)
from harness.comparing.child import entries_in
from harness.comparing.places import at_revision
from harness.comparing.revision import tree_of
from harness.errors import UserError
from harness.forecasting.cache import cache_folder
from harness.suite.load import load_suite
from harness.untrusted import WRONG


@dataclass(frozen=True)
class Question:
    """What is forecast, and for which budget file.

    Attributes:
        suite: its file; its repository is the one whose past is asked for.
        budget: the budget file.
        cards: to forecast for.
        plugins: of the suite.
        timed: whether step times are wanted.
    """

    suite: Path
    budget: Path
    cards: Sequence[str]
    plugins: Sequence[str] = ()
    timed: bool = False


def base_of(asked: Question, against: str | None) -> Base:
    """Forecast the code as it was, with the versions that are here.

    Args:
        asked: what is forecast.
        against: a revision: the newest commit that it shares with HEAD is taken. None: the state
            before the commit that last moved the budget file. In both cases HEAD's parent in place
            of HEAD itself, unless files were changed since.

    Raises:
        NoBase: there is no such commit here.
    """
    top = top_or_none(asked.suite.resolve().parent)
    if top is None:
        raise NoBase(f"{asked.suite} is in no git repository, so that nothing says what it was")
    commit, why = _commit(top, asked.budget.resolve(), against)
    print(f"forecasting {commit[:12]} with the versions that are here: {why}", file=sys.stderr)
    base = Base(commit, why, None, _file(top, commit, asked.budget))
    try:
        return replace(base, figures=_figures(asked, top, commit))
    except UserError as error:
        return replace(base, reason=f"{commit[:12]} cannot be forecast here: {error}")


def _commit(top: Path, budget: Path, against: str | None) -> tuple[str, str]:
    now = head(top)
    if against is not None:
        commit, why = common_commit(top, against), f"what {against} and HEAD have in common"
    else:
        inside = budget.is_relative_to(top.resolve())
        moved = last_change(top, budget) if inside else None
        if moved is None:
            commit, why = now, "HEAD, as the budget file is not committed"
        else:
            before = parent(top, moved)
            commit, why = before or moved, f"before {moved[:12]} moved the budget file"
    if commit == now and not is_changed(top):
        before = parent(top, now)
        if before is None:
            raise NoBase(f"HEAD is the first commit of {top}, and nothing is changed since")
        return before, "before HEAD, as nothing is changed since"
    return commit, why


def _file(top: Path, commit: str, budget: Path) -> Budget | None:
    """Return the budget file as it was; what cannot be read is none."""
    if not budget.resolve().is_relative_to(top.resolve()):
        return None
    content = file_at(top, commit, budget)
    try:
        return parsed(content) if content is not None else None
    except WRONG:
        return None


def _figures(asked: Question, top: Path, commit: str) -> Figures:
    """Forecast the commit with the suite as it is now; where it cannot, with its own suite.

    Raises:
        UserError: it forecasts nothing, and why.
    """
    with tree_of(top, commit) as tree:
        try:
            place = at_revision(asked.suite, commit[:12], tree, top)
            return of_entries(entries_in(place, _options(asked), _cache()), {}, software())
        except UserError as error:
            reason = error
    with tree_of(top, commit) as tree:
        own = tree.folder / asked.suite.resolve().relative_to(top.resolve())
        if not own.is_file():
            raise reason
        place = at_revision(own, commit[:12], tree, top)
        found = of_entries(entries_in(place, _options(asked), _cache()), {}, software())
        return _of_same_cells(found, own, asked)


def _of_same_cells(found: Figures, own: Path, asked: Question) -> Figures:
    """Return the figures of cells that are today's: the suite that they were made by is older."""
    then, now = (
        {cell.path: cell.key for cell in load_suite(suite, plugins=asked.plugins).cells()}
        for suite in (own, asked.suite)
    )
    same = {path for path, key in now.items() if then.get(path) == key}
    cells = {s: figure for s, figure in found.cells.items() if s.path.partition("@")[0] in same}
    other = {s: "it has other settings there" for s in found.cells if s not in cells}
    return replace(found, cells=cells, errors={**found.errors, **other})


def _options(asked: Question) -> list[str]:
    return ["--gpu", ",".join(asked.cards),
            *(word for name in asked.plugins for word in ("--plugin", name))]  # fmt: skip


def _cache() -> Path | None:
    """Return a folder without the constants of this machine: times are of the reference host."""
    folder = cache_folder()
    return folder / "base" if folder else None
